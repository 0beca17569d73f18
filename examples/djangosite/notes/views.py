"""The list of notes, and the form that adds one."""

from django.contrib import messages
from django.forms import ModelForm, Textarea
from django.shortcuts import redirect, render

from notes.models import Note


class NoteForm(ModelForm):
    class Meta:
        model = Note
        fields = ["title", "text"]
        widgets = {"text": Textarea(attrs={"rows": 3})}


def index(request):
    form = NoteForm(request.POST or None)
    if form.is_valid():
        form.save()
        messages.success(request, "Your note is kept.")
        return redirect("index")
    status = 422 if form.errors else 200
    return render(request, "notes/index.html", {"form": form, "notes": Note.objects.all()[:20]}, status=status)
