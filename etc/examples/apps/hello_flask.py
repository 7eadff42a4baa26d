"""The Flask app of the examples."""

from flask import Flask, url_for

app = Flask(__name__)


@app.get("/")
def home():
    """A link to the other page."""
    return f'Hello from Flask. <a href="{url_for("greet", name="you")}">And you?</a>'


@app.get("/hello/<name>")
def greet(name):
    """Greet whoever it is."""
    return f"Hello, {name}!"
