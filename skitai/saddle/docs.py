"""`app.enable_docs`: the OpenAPI document of an app, and a page to read and try it."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

from skitai.http import jsontext
from skitai.saddle.openapi import document
from skitai.saddle.schema import FILE

if TYPE_CHECKING:
    from skitai.saddle.app import Saddle
    from skitai.saddle.context import Was
    from skitai.saddle.routes import Routes
    from skitai.saddle.schema import Schema

DOCUMENT = "openapi.json"


class DocsFacet:
    """What `Saddle` has for documentation."""

    _routes: Routes
    name: str

    def enable_docs(self, path: str = "/docs", title: str = "", version: str = "", **options: Any) -> None:
        """Document the app's routes: a page at a path, and below it ``openapi.json``.

        :param path: of the app.
        :param title: the app's name by default.
        :param version: of the interface, as the document says it.
        :param options: of both routes, ``authenticate="basic"`` for instance.
        :raises ValueError: the path does not begin with "/".
        """
        base = path.rstrip("/")
        heading = title or self.name.rpartition(".")[2]
        options = {"methods": ["GET"], "docs": False, **options}

        prefix = self._routes.scope.mount

        def described(app: Saddle) -> Schema:
            return document(app._routes.all, heading, version, app.basepath, app._scheme)

        def openapi(was: Was) -> bytes:
            was.response.set_header("Content-Type", "application/json")
            return jsontext.dumps(described(was.app))

        def docs(was: Was) -> str:
            return page(described(was.app), f"{was.app.basepath.rstrip('/')}{prefix}{base}/{DOCUMENT}")

        self._routes.define(base or "/", docs, {"name": "saddle.docs", **options})
        self._routes.define(f"{base}/{DOCUMENT}", openapi, {"name": "saddle.openapi", **options})


def page(described: Schema, address: str) -> str:
    """An OpenAPI document for people: one page that needs nothing else.

    :param address: of the document.
    """
    info = described["info"]
    title = html.escape(info["title"])
    operations = [
        (path, method, operation) for path, methods in described["paths"].items() for method, operation in methods.items()
    ]
    groups: dict[str, list[str]] = {}
    for path, method, operation in operations:
        for tag in operation.get("tags", [""]):
            groups.setdefault(tag, []).append(_operation(described, path, method, operation))
    listed = "".join(
        f"{f'<h2>{html.escape(tag)}</h2>' if tag else ''}{''.join(each)}" for tag, each in sorted(groups.items())
    )
    schemas = "".join(
        f"<details id='schema-{html.escape(name)}'><summary><code>{html.escape(name)}</code></summary>{_pre(each)}</details>"
        for name, each in described.get("components", {}).get("schemas", {}).items()
    )
    return _PAGE.format(
        title=title,
        version=html.escape(info["version"]),
        address=html.escape(address),
        operations=listed or "<p>There are no routes.</p>",
        schemas=f"<h2>Schemas</h2>{schemas}" if schemas else "",
        style=_STYLE,
        script=_SCRIPT,
    )


def _operation(described: Schema, path: str, method: str, operation: Schema) -> str:
    parameters = operation.get("parameters", [])
    content = operation.get("requestBody", {}).get("content", {})
    server = described["servers"][0]["url"].rstrip("/")
    parts = [f"<p>{html.escape(each)}</p>" for each in operation.get("description", "").split("\n\n") if each]
    if schemes := [name for each in operation.get("security", ()) for name in each]:
        parts.append(f"<p>Wants authentication: {html.escape(', '.join(schemes))}.</p>")
    if parameters:
        rows = "".join(_row(each["name"], each["in"], each["schema"], each["required"], each) for each in parameters)
        parts.append(f"<h4>Parameters</h4><table>{rows}</table>")
    if content:
        kinds = ", ".join(content)
        made = next(iter(content.values())).get("schema", {})
        required = made.get("required", [])
        rows = "".join(_row(name, "body", each, name in required, each) for name, each in made.get("properties", {}).items())
        parts.append(f"<h4>Body <small>{html.escape(kinds)}</small></h4><table>{rows}</table>")
    rows = "".join(_response(status, each) for status, each in operation["responses"].items())
    parts.append(f"<h4>Responses</h4><table>{rows}</table>")
    parts.append(_form(server + path, method, parameters, content))
    gone = " class=deprecated" if operation.get("deprecated") else ""
    summary = html.escape(operation.get("summary", ""))
    line = f"<b class={method}>{method.upper()}</b> <code>{html.escape(path)}</code> {summary}"
    return f"<details{gone}><summary>{line}</summary>{''.join(parts)}</details>"


def _row(name: str, where: str, schema: Schema, required: bool, said: Schema) -> str:
    default = f" = {json.dumps(schema['default'])}" if "default" in schema else ""
    cells = (
        f"<code>{html.escape(name)}</code>{'' if required else ' <small>optional</small>'}",
        html.escape(where),
        f"<code>{_type(schema)}{html.escape(default)}</code>",
        html.escape(said.get("description", "")),
    )
    return f"<tr>{''.join(f'<td>{each}</td>' for each in cells)}</tr>"


def _response(status: str, response: Schema) -> str:
    content = [*response.get("content", {}).values(), {}]
    schema = content[0].get("schema", {})
    return f"<tr><td>{status}</td><td>{html.escape(response['description'])}</td><td><code>{_type(schema)}</code></td></tr>"


def _type(schema: Schema) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = html.escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#schema-{name}'>{name}</a>"
    if schema == FILE:
        return "file"
    if "enum" in schema:
        return html.escape(" | ".join(json.dumps(each, ensure_ascii=False) for each in schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(_type(each) for each in schema["anyOf"])
    kind = schema.get("type", "any" if schema else "")
    if kind == "array":
        return f"array of {_type(schema['items'])}" if schema.get("items") else "array"
    if isinstance(kind, list):
        return html.escape(" | ".join(kind))
    return html.escape(str(schema.get("format", kind)))


def _form(url: str, method: str, parameters: list[Schema], content: Schema) -> str:
    """Fields to try an operation with."""
    fields = "".join(
        f"<label>{html.escape(each['name'])} <input name='{html.escape(each['name'])}' data-in='{each['in']}'></label>"
        for each in parameters
    )
    if "multipart/form-data" in content:
        properties = content["multipart/form-data"]["schema"]["properties"]
        fields += "".join(_form_field(name, each) for name, each in properties.items())
    elif content:
        kind = html.escape(next(iter(content)))
        example = _example(next(iter(content.values())).get("schema", {}))
        fields += f"<label>Body <textarea data-in=body data-type='{kind}' rows=4>{example}</textarea></label>"
    fields += "<button>Try</button><pre hidden></pre>"
    return f"<form data-url='{html.escape(url)}' data-method={method.upper()}>{fields}</form>"


def _form_field(name: str, schema: Schema) -> str:
    name = html.escape(name)
    kind = "file" if FILE in (schema, schema.get("items")) else "text"
    return f"<label>{name} <input name='{name}' data-in=form type={kind}{' multiple' if 'items' in schema else ''}></label>"


def _example(schema: Schema) -> str:
    required = schema.get("required", [])
    values = {name: each.get("default", "") for name, each in schema.get("properties", {}).items() if name in required}
    return html.escape(json.dumps(values, ensure_ascii=False))


def _pre(schema: Schema) -> str:
    return f"<pre>{html.escape(json.dumps(schema, indent=2, ensure_ascii=False))}</pre>"


_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
h1,h2{font-weight:500}small{color:#666}summary{cursor:pointer;padding:.4rem}
details{border:1px solid #ddd;border-radius:4px;margin:.5rem 0;padding:0 .6rem}details[open]{padding-bottom:.6rem}
table{border-collapse:collapse;width:100%}td{border-top:1px solid #eee;padding:.2rem .6rem .2rem 0;vertical-align:top}
b{display:inline-block;width:4.5rem;color:#36c}b.post{color:#283}b.put,b.patch{color:#a60}b.delete{color:#b22}
pre{background:#f4f4f4;overflow:auto;padding:.6rem}label{display:block;margin:.3rem 0}
textarea{box-sizing:border-box;display:block;width:100%}
.deprecated>summary{text-decoration:line-through}
"""

_SCRIPT = """
for (const form of document.forms) form.addEventListener("submit", async event => {
  event.preventDefault();
  let url = form.dataset.url;
  const query = new URLSearchParams(), sent = {method: form.dataset.method, headers: {Accept: "application/json, */*"}};
  for (const field of form.querySelectorAll("[data-in]")) {
    if (field.dataset.in == "body") {
      sent.body = field.value;
      sent.headers["Content-Type"] = field.dataset.type;
    } else if (field.dataset.in == "form") {
      sent.body = sent.body || new FormData();
      for (const value of field.files || [field.value]) sent.body.append(field.name, value);
    } else if (field.dataset.in == "path") {
      url = url.replace("{" + field.name + "}", encodeURIComponent(field.value).replaceAll("_", "%5F"));
    } else if (field.value) query.append(field.name, field.value);
  }
  if (query.size) url += "?" + query;
  const shown = form.querySelector("pre");
  shown.hidden = false;
  try {
    const answer = await fetch(url, sent);
    const line = `${sent.method} ${url}\\n${answer.status} ${answer.statusText}\\n\\n`;
    shown.textContent = line + await answer.text();
  } catch (error) { shown.textContent = String(error); }
});
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title} <small>{version}</small></h1>
<p><a href="{address}">OpenAPI document</a></p>
{operations}
{schemas}
<script>{script}</script>
</body>
</html>
"""
