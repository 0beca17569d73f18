"""A FastAPI app: ``python examples/fastapi_app.py``, then http://127.0.0.1:5000/items/3 and /docs."""

import asyncio
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

import skitai


class Item(BaseModel):
    name: str = Field(min_length=1, max_length=80)
    price: float = Field(gt=0)


@asynccontextmanager
async def lifespan(app):
    """Runs in each worker: before its first request, and after its last one."""
    app.state.items = {3: Item(name="Teapot", price=12.5)}
    yield
    app.state.items.clear()


app = FastAPI(title="Items", lifespan=lifespan)


@app.get("/items/{number}")
async def item(number: int) -> Item:
    if number not in app.state.items:
        raise HTTPException(404, f"no item {number}")
    return app.state.items[number]


@app.post("/price")
async def price(items: list[Item]) -> dict[str, float]:
    return {"sum": sum(each.price for each in items)}


@app.get("/countdown")
async def countdown() -> StreamingResponse:
    async def lines():
        for number in (3, 2, 1):
            yield f"{number}\n"
            await asyncio.sleep(0.1)
        yield "go\n"

    return StreamingResponse(lines(), media_type="text/plain")


if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(port=5000)
