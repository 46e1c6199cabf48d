"""Every public name, as Markdown: read from the source without importing it, so that no page waits for torch.

Docstrings are Google's; signatures and defaults stand as they were written.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import zip_longest
from pathlib import Path

import lexiseg

PACKAGE = Path(lexiseg.__file__).parent
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Inference": ("load", "Model", "EncodedImage", "Result"),
    "Words": ("Vocabulary", "Concept"),
    "What is found": ("Segment", "Guess", "PanopticMap", "Instance"),
    "Measure and train": ("evaluate", "train"),
    "Models and folders": ("load_model", "save_model", "assemble"),
    "Errors": ("PictureError", "VocabularyError", "UsageError", "ModelError", "FormatError", "DeviceError"),
    "Networks": ("OPSNet", "OVSeg", "FCCLIP"),
}
"""Which names stand together; what is in none of them is a configuration."""
RECIPES = "lexiseg.training.recipes"
CONFIGURATIONS = "Configurations"
SECTIONS = ("Args", "Returns", "Yields", "Raises", "Example", "Usage")
Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring, taken apart."""

    body: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    returns: str = ""
    raises: Mapping[str, str] = field(default_factory=dict)
    example: str = ""


@cache
def tree_of(module: str) -> ast.Module:
    """A module's source, parsed."""
    place = PACKAGE.joinpath(*module.split(".")[1:])
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def definition(name: str, module: str) -> Definition:
    """The function or class of a name, where it is defined."""
    body = tree_of(home_of(name, module)).body
    return next(node for node in body if isinstance(node, Definition) and node.name == name)


def homes() -> dict[str, str]:
    """The module of every public name; recipes and drawing are public in packages of their own."""
    return {name: module for module, names in lexiseg._EXPORTS.items() for name in names}


def recipe_homes() -> dict[str, str]:
    """The module of every recipe, by its function's name."""
    imports = (node for node in tree_of(RECIPES).body if isinstance(node, ast.ImportFrom))
    own = (node for node in imports if str(node.module).startswith(f"{RECIPES}."))
    return {alias.name: str(node.module) for node in own for alias in node.names}


def names_markdown() -> str:
    """A section per group of names, with an entry for each of them, its fields and its methods."""
    module_of = homes()
    rest = sorted(module_of.keys() - {name for names in GROUPS.values() for name in names})
    parts: list[str] = ["```{py:module} lexiseg\n```"]
    for title, names in (*GROUPS.items(), (CONFIGURATIONS, tuple(rest))):
        parts.append(f"## {title}")
        parts += [entry(definition(name, module_of[name]), module_of[name]) for name in names]
    parts += ["## Types", "What signatures above name.", *aliases(module_of)]
    parts.append("## The drawn world\n\n```{py:currentmodule} lexiseg.storybook\n```")
    parts.append(entry(definition("draw_scene", "lexiseg.storybook.scene"), "lexiseg.storybook.scene"))
    parts.append("## Recipes\n\n```{py:currentmodule} lexiseg.training.recipes\n```")
    parts.append("Functions of a `seed` that return all that decides a training; `lexiseg train` takes them by name.")
    parts += [recipe(name, module) for name, module in sorted(recipe_homes().items())]
    return linked("\n\n".join(parts))


def aliases(module_of: Mapping[str, str]) -> list[str]:
    """An entry for every name of another type that a public signature mentions."""
    found: dict[str, str] = {}
    for name, module in module_of.items():
        for node in ast.walk(definition(name, module)):
            kind = getattr(node, "annotation", None) or getattr(node, "returns", None)
            for part in ast.walk(kind) if isinstance(kind, ast.expr) else ():
                if isinstance(part, ast.Name) and (value := assigned(part.id, home_of(part.id, module))):
                    found[part.id] = fenced("py:type", part.id, [value[1]], f":canonical: {ast.unparse(value[0])}")
    return [found[name] for name in sorted(found)]


def assigned(name: str, module: str) -> tuple[ast.expr, str] | None:
    """What a module of this package assigns to a name, and the docstring below it."""
    body = tree_of(module).body if module.startswith("lexiseg") else []
    for one, after in zip_longest(body, body[1:]):
        targets = one.targets if isinstance(one, ast.Assign) else [one.target] if isinstance(one, ast.AnnAssign) else []
        if [ast.unparse(target) for target in targets] == [name] and one.value is not None:
            return one.value, docstring_of(after)
    return None


def recipe(name: str, module: str) -> str:
    """A recipe, in the first sentence of its docstring."""
    return fenced("py:function", f"{name}(*, seed)", [read(ast.get_docstring(definition(name, module))).body])


def entry(node: Definition, module: str) -> str:
    """The entry of a function or class."""
    if isinstance(node, ast.FunctionDef):
        return function("py:function", node, module)
    bases = [ast.unparse(base) for base in node.bases]
    told = read(ast.get_docstring(node))
    made = next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    signature = signature_of(made, module, is_method=True) if made else ""
    parts = [told.body, example(told)]
    if made is not None:
        parts += fields_of(read(ast.get_docstring(made)))
    if any(base.endswith(("Error", "Exception")) for base in bases):
        return fenced("py:exception", node.name, parts)
    return fenced("py:class", f"{node.name}{signature}", [*parts, *members(node, module)])


def members(node: ast.ClassDef, module: str) -> Iterator[str]:
    """The fields of a class and of those that it extends, then its properties and methods."""
    attributes: dict[str, str] = {}
    for owner in (*bases_of(node, module), node):
        for one, after in zip_longest(owner.body, owner.body[1:]):
            if isinstance(one, ast.AnnAssign) and is_public(kind := annotation(one.annotation), one.target):
                name = ast.unparse(one.target)
                about = f":type: {kind}" + (f"\n:value: {shown(one.value)}" if one.value is not None else "")
                attributes[name] = fenced("py:attribute", name, [docstring_of(after)], about)
    yield from attributes.values()
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and not one.name.startswith("_") and ast.get_docstring(one):
            kinds = {ast.unparse(decorator) for decorator in one.decorator_list}
            if "property" in kinds:
                returned = f":type: {annotation(one.returns)}" if one.returns else ""
                yield fenced("py:property", one.name, [read(ast.get_docstring(one)).body], returned)
            elif not any(kind.endswith((".setter", "overload")) for kind in kinds):
                yield function("py:method", one, module, kinds & {"classmethod", "staticmethod"})


def is_public(kind: str, name: ast.expr) -> bool:
    """Whether what a class declares is a field for its users."""
    return "ClassVar" not in kind and not ast.unparse(name).startswith("_")


def bases_of(node: ast.ClassDef, module: str) -> Iterator[ast.ClassDef]:
    """The dataclasses of this package that a dataclass extends, the most general one first."""
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        for base in map(ast.unparse, node.bases):
            home = home_of(base, module)
            if home.startswith("lexiseg") and isinstance(found := definition(base, home), ast.ClassDef):
                yield from (*bases_of(found, home), found)


def home_of(name: str, module: str) -> str:
    """The module that defines a name which another one has, perhaps by importing it."""
    imports = (node for node in tree_of(module).body if isinstance(node, ast.ImportFrom))
    for node in imports:
        if any((alias.asname or alias.name) == name for alias in node.names):
            home = str(node.module)
            return home_of(name, home) if home.startswith("lexiseg") else home
    return module


def function(directive: str, node: ast.FunctionDef, module: str, kinds: set[str] | frozenset[str] = frozenset()) -> str:
    """The entry of a function or method."""
    told = read(ast.get_docstring(node))
    is_method = directive == "py:method" and "staticmethod" not in kinds
    signature = node.name + signature_of(node, module, is_method=is_method)
    return fenced(
        directive, signature, [told.body, *fields_of(told), example(told)], "".join(f":{kind}:\n" for kind in kinds)
    )


def signature_of(node: ast.FunctionDef, module: str, *, is_method: bool) -> str:
    """Parameters with types and defaults, and what is returned; constants by their value."""
    given = ast.parse(ast.unparse(node)).body[0]
    assert isinstance(given, ast.FunctionDef)
    arguments = given.args
    if is_method:
        arguments.args = arguments.args[1:]
    for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg):
        if one is not None and one.annotation is not None:
            one.annotation = ast.parse(annotation(one.annotation), mode="eval").body
    arguments.defaults = [constant(default, module) for default in arguments.defaults]
    arguments.kw_defaults = [default and constant(default, module) for default in arguments.kw_defaults]
    returned = f" -> {annotation(given.returns)}" if given.returns and given.name != "__init__" else ""
    return f"({ast.unparse(arguments)}){returned}"


def annotation(node: ast.expr | None) -> str:
    """A type as it is written, without the quotes of names that come later."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return "" if node is None else ast.unparse(node)


def constant(node: ast.expr, module: str) -> ast.expr:
    """A default; where it is a constant of the package, its value."""
    if not isinstance(node, ast.Name):
        return node
    value = assigned(node.id, home_of(node.id, module))
    return value[0] if value and isinstance(value[0], ast.Constant) else node


def shown(node: ast.expr) -> str:
    """The default of a field; of what makes a new value each time, the call."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "field":
        made = {word.arg: word.value for word in node.keywords}
        if "default_factory" in made:
            return f"{ast.unparse(made['default_factory'])}()"
        return ast.unparse(made["default"]) if "default" in made else "..."
    return ast.unparse(node)


def docstring_of(node: ast.stmt | None) -> str:
    """The docstring of the field before this statement, if it is one."""
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return " ".join(text.split())
        case _:
            return ""


def read(docstring: str | None) -> Docstring:
    """Takes a Google docstring apart."""
    parts = re.split(rf"^({'|'.join(SECTIONS)}):[ ]*\n", docstring or "", flags=re.MULTILINE)
    named = dict(zip(parts[1::2], parts[2::2], strict=True))
    return Docstring(
        body=parts[0].strip(),
        args=items(named.get("Args", "")),
        returns=" ".join(named.get("Returns", named.get("Yields", "")).split()),
        raises=items(named.get("Raises", "")),
        example=dedent(named.get("Example", named.get("Usage", ""))),
    )


def items(text: str) -> dict[str, str]:
    """The entries of a section: a name, a colon, and what is indented below."""
    found = re.findall(r"^ {4}(\*{0,2}\w+): (.*(?:\n(?: {5,}.*|\s*$))*)", text, flags=re.MULTILINE)
    return {name: " ".join(told.split()) for name, told in found}


def dedent(text: str) -> str:
    """A block without its margin."""
    return "\n".join(line[4:] for line in text.rstrip().splitlines())


def fields_of(told: Docstring) -> list[str]:
    """Arguments, result and errors as Sphinx's field lists."""
    lines = [f":param {name}: {text}" for name, text in told.args.items()]
    lines += [f":returns: {told.returns}"] if told.returns else []
    lines += [f":raises {name}: {text}" for name, text in told.raises.items()]
    return ["\n".join(lines)] if lines else []


def example(told: Docstring) -> str:
    """The example of a docstring."""
    return f"```python\n{told.example}\n```" if told.example else ""


def fenced(directive: str, signature: str, parts: Sequence[str], options: str = "") -> str:
    """A directive with a fence that is longer than those inside it."""
    body = "\n\n".join(filter(None, parts))
    fence = "`" * (max([3, *map(len, re.findall(r"^`{3,}", body, flags=re.MULTILINE))]) + 1)
    return f"{fence}{{{directive}}} {signature}\n{options.strip()}\n\n{body}\n{fence}".replace("\n\n\n", "\n\n")


def linked(markdown: str) -> str:
    """Makes links of public names that stand in code marks, and puts options of the command line into such marks."""
    typed = re.compile(r"^`{3,}.*$|`[^`]*`|(?<![\w-])--[a-z][\w-]*", re.MULTILINE)
    markdown = typed.sub(lambda found: found[0] if found[0][0] == "`" else f"`{found[0]}`", markdown)
    return re.sub(r"`(lexiseg\.)?([A-Z]\w+(?:\.\w+)?|load|evaluate|train)`(?!`)", reference, markdown)


def reference(found: re.Match[str]) -> str:
    """The link of a name, if it is one with an entry."""
    name, _, member = found[2].partition(".")
    home = homes().get(name)
    if home is None or (member and not has_member(definition(name, home), member)):
        return found[0]
    return f"{{py:obj}}`{found[2]} <lexiseg.{found[2]}>`"


def has_member(node: Definition, member: str) -> bool:
    """Whether a class has a field or method of a name."""
    own = [one.name for one in node.body if isinstance(one, ast.FunctionDef)]
    own += [ast.unparse(one.target) for one in node.body if isinstance(one, ast.AnnAssign)]
    return member in own
