"""The model card of a soup: what it says, what it leaves out, and what it never takes from its user."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from tests.checkpoints import checkpoint, f32, state_of
from tests.landscapes import Landscape, pool, search_with

import soce
from soce.cli.card import card as command
from soce.exceptions import CheckpointError, EvaluationError, OutputError, StudyError
from soce.recipes.model import Ingredient, Recipe
from soce.recipes.rows import Row
from soce.report.card.card import Card, make_card
from soce.report.card.readme import is_sealed
from soce.report.publish import publish_soup
from soce.search.arm import Arm, ArmComparison, ArmScore
from soce.search.pool import Pool
from soce.search.result import SearchResult

ROOT = Path(__file__).parents[2]
HOSTILE = "\x1b\x07\r\t\x7f\x9b\u00ad\u200b\u200e\u202e\u2028\u2066\ufeff"
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
MIT = """MIT License

Copyright (c) 2024 J. Doe, Inc.

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def model(path: Path, value: float, **files: str) -> str:
    """Write a checkpoint; `readme` and `licence` become files of it."""
    checkpoint(path, {"w": ("F32", [2], f32(value, 1.0))}, config=CONFIG)
    for name, text in files.items():
        (path / {"readme": "README.md", "licence": "LICENSE"}[name]).write_text(text)
    return str(path)


def under(licence: str) -> str:
    return f"---\nlicense: {licence}\n---\n# A model\n"


def soup_of(home: Path, paths: dict[str, object]) -> Path:
    soce.merge(paths, output=home / "soup", options=soce.MergeOptions(sync=False))
    return home / "soup"


@pytest.fixture
def soup(tmp_path: Path) -> Path:
    """Make a soup of `math` and `code`, both under Apache 2.0."""
    paths = {
        model(tmp_path / "math", 1.0, readme=under("apache-2.0")): 3,
        model(tmp_path / "code", 3.0, readme=under("Apache-2.0")): 1,
    }
    return soup_of(tmp_path, paths)


@pytest.fixture
def searched(tmp_path: Path) -> tuple[Path, Path]:
    """Make a soup that a search chose, and return it with the search's folder."""
    pytest.importorskip("optuna")
    result = search_with(pool(tmp_path, "ab"), Landscape(), folder=tmp_path / "search")
    publish_soup(result, tmp_path / "soup", run=tmp_path / "search")
    return tmp_path / "soup", tmp_path / "search"


def head_of(text: str) -> dict[str, object]:
    return yaml.safe_load(text.split("---\n")[1])


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


# ---- what it says


def test_the_card_of_what_was_published_tells_its_ingredients_apart(searched: tuple[Path, Path]) -> None:
    soup, _ = searched
    manifest = json.loads((soup / "soce.json").read_text())
    contents = [one["content"] for one in manifest["sources"] if any(one["parts"])]
    headers = {shard["header_sha256"] for one in manifest["sources"] for shard in one["shards"]}
    assert len(headers) == 1, "fine-tunes of one model share their header"
    assert sorted(contents) == sorted(one["content"] for one in manifest["result"]["ingredients"])
    text = (soup / "README.md").read_text()
    assert all(content in text for content in contents)
    assert not any(header in text for header in headers)


def test_the_card_says_what_was_souped_and_how_to_check_it(soup: Path) -> None:
    made = soce.write_card(soup)
    manifest = json.loads((soup / "soce.json").read_text())
    text = (soup / "README.md").read_text()
    assert text == made.text
    assert (
        head_of(text)
        == dict(made.front_matter)
        == {
            "base_model_relation": "merge",
            "library_name": "transformers",
            "pipeline_tag": "text-generation",
            "license": "apache-2.0",
            "tags": ["merge", "soce", "model-soup"],
        }
    )
    assert "A model soup: nothing here was trained" in text
    assert "| `math` | 3 | 75 % |\n| `code` | 1 | 25 % |" in text
    assert "are those of `math`" in text
    assert manifest["result_digest"] in text
    assert manifest["file_digest"] in text
    assert "not hashed" in text
    assert "$ soce verify .\n" in text
    assert "arXiv:2511.13254" in text
    assert made.warnings == ()
    assert not made.has_scores


def test_the_hub_reads_what_was_written(soup: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    made = soce.write_card(soup, hub_ids={"math": "org/math-7b", "code": "org/code-7b"})
    loaded = hub.ModelCard.load(soup / "README.md")
    assert loaded.data.to_dict() == dict(made.front_matter)
    assert loaded.data.base_model == ["org/math-7b", "org/code-7b"]
    assert hub.ModelCardData(**loaded.data.to_dict()).to_yaml() == loaded.data.to_yaml()
    assert "[`org/math-7b`](https://huggingface.co/org/math-7b), here `math`" in made.text


def test_ids_and_revisions_come_from_the_cache_of_the_hub(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    path = tmp_path / "hub" / "models--some-org--a-model_1.5" / "snapshots" / commit
    soup = soup_of(tmp_path, {model(path, 1.0): 1, model(tmp_path / "local", 2.0): 1})
    made = make_card(soup)
    assert made.front_matter["base_model"] == ["some-org/a-model_1.5"]
    assert f"(https://huggingface.co/some-org/a-model_1.5) | `{commit}` |" in made.text


def test_ids_and_revisions_come_from_the_manifest(soup: Path) -> None:
    path = soup / "soce.json"
    manifest = json.loads(path.read_text())
    commit, digest = "0" * 40, "1" * 64
    manifest["sources"][0]["hub"] = {"id": "org/told", "revision": commit}
    manifest["sources"][0]["shards"][0] |= {"sha256": digest, "sha256_source": "hf-blob-name"}
    manifest["sources"][1]["hub"] = {"revision": "main"}
    path.write_text(json.dumps(manifest))
    made = make_card(soup)
    assert made.front_matter["base_model"] == ["org/told"]
    assert f"[`org/told`](https://huggingface.co/org/told) | `{commit}` |" in made.text
    assert f"`{digest}`" in made.text


def test_no_path_of_this_machine_is_in_the_card(tmp_path: Path, searched: tuple[Path, Path]) -> None:
    same = [model(tmp_path / parent / "last" / "checkpoint", 1.0) for parent in ("first", "second")]
    soup = soup_of(tmp_path / "first", dict.fromkeys(same, 1))
    first = make_card(soup).text
    assert "`first/last/checkpoint`" in first
    assert "`second/last/checkpoint`" in first
    for text in (first, make_card(searched[0], run=searched[1]).text):
        assert str(tmp_path) not in text
        assert str(tmp_path.parent) not in text


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (CONFIG, ("transformers", "text-generation")),
        (
            {**CONFIG, "architectures": ["BertForSequenceClassification"]},
            ("transformers", "text-classification"),
        ),
        ({**CONFIG, "architectures": ["T5ForConditionalGeneration"]}, ("transformers", None)),
        ({**CONFIG, "time_step_limit": [0.0, float("inf")]}, ("transformers", "text-generation")),
        ({"model_type": "test"}, (None, None)),
        ({"architectures": {"x": 1}, "model_type": 3}, (None, None)),
    ],
)
def test_library_and_task_are_told_only_where_the_config_tells(
    soup: Path, config: dict[str, object], expected: tuple[str | None, str | None]
) -> None:
    (soup / "config.json").write_text(json.dumps(config))
    head = make_card(soup).front_matter
    assert (head.get("library_name"), head.get("pipeline_tag")) == expected


def test_rows_are_a_table_of_patterns(tmp_path: Path) -> None:
    paths = [model(tmp_path / "a", 1.0), model(tmp_path / "b", 2.0)]
    ingredients = tuple(Ingredient(path, None) for path in paths)
    rows = (Row("w|x*", (1, 1), 2), Row("*", (3, -1), 2))
    soce.merge(Recipe(ingredients, rows), output=tmp_path / "soup", options=soce.MergeOptions(sync=False))
    text = make_card(tmp_path / "soup").text
    assert "| tensors | `a` | `b` | over |" in text
    assert "| <code>w&#124;x&#42;</code> | 1 | 1 | 2 |\n| `*` | 3 | -1 | 2 |" in text


# ---- licences


def licence_card(tmp_path: Path, first: dict[str, str], second: dict[str, str], **options: str) -> Card:
    paths = {model(tmp_path / "a", 1.0, **first): 1, model(tmp_path / "b", 2.0, **second): 1}
    return make_card(soup_of(tmp_path, paths), **options)


APACHE = {"readme": under("apache-2.0")}


@pytest.mark.parametrize(
    ("second", "licence", "words"),
    [
        (APACHE, "apache-2.0", []),
        ({"readme": "---\nlicense: [apache-2.0]\n---\n"}, "apache-2.0", []),
        ({"licence": (ROOT / "LICENSE").read_text()}, "apache-2.0", []),
        ({"licence": "# SPDX-License-Identifier: Apache-2.0\n"}, "apache-2.0", []),
        ({"readme": "# no head\n", "licence": (ROOT / "LICENSE").read_text()}, "apache-2.0", []),
        (
            {"licence": (ROOT / "LICENSE").read_text().replace("perpetual", "brief")},
            None,
            ["of `b`: the text in LICENSE"],
        ),
        ({"licence": MIT}, None, ["licences differ: `a` apache-2.0 (README.md, license), `b` mit (LICENSE)"]),
        ({"licence": MIT.replace("sublicense", "worship")}, None, ["of `b`: the text in LICENSE"]),
        (
            {"readme": under("cc-by-nc-4.0")},
            None,
            ["differ", "`b` is under cc-by-nc-4.0, which forbids commercial"],
        ),
        (
            {"readme": under("cc-by-nd-4.0")},
            None,
            ["differ", "`b` is under cc-by-nd-4.0, which forbids derivatives"],
        ),
        (
            {"readme": under("llama3.1")},
            None,
            ["differ", "terms of their own, which the soup inherits: `b` (llama3.1)"],
        ),
        (
            {"readme": under("other\nlicense_name: Custom-Research")},
            None,
            ["differ", "forbids commercial", "own"],
        ),
        ({"readme": under("'x y'")}, None, ["of `b`: the README.md names no licence that can be read"]),
        ({"readme": under("[mit, gpl]")}, None, ["of `b`: the README.md names no licence that can be read"]),
        ({"readme": "---\nlicense: *x\n---\n"}, None, ["of `b`: the files name none"]),
        ({}, None, ["of `b`: the files name none"]),
    ],
)
def test_a_licence_is_what_all_ingredients_say(
    tmp_path: Path, second: dict[str, str], licence: str | None, words: list[str]
) -> None:
    made = licence_card(tmp_path, APACHE, second)
    assert made.front_matter.get("license") == licence
    assert len(made.warnings) == len(words)
    for warning, word in zip(made.warnings, words, strict=True):
        assert word in warning
    assert made.text.count("> **Mind**") == len(words)


def test_a_licence_of_its_own_keeps_its_name_and_link(tmp_path: Path) -> None:
    own = {"readme": under("other\nlicense_name: my-terms\nlicense_link: LICENSE")}
    head = licence_card(tmp_path, own, own).front_matter
    assert [head[key] for key in ("license", "license_name", "license_link")] == [
        "other",
        "my-terms",
        "LICENSE",
    ]
    other = {"readme": under("other\nlicense_name: your-terms")}
    made = make_card(
        soup_of(
            tmp_path / "b", {model(tmp_path / "b/1", 1.0, **own): 1, model(tmp_path / "b/2", 2.0, **other): 1}
        )
    )
    assert "license" not in made.front_matter


def test_origins_that_differ_stand_where_the_soup_is_disclosed(tmp_path: Path) -> None:
    base, chat = (model(tmp_path / name, 1.0, **APACHE) for name in ("m-7b", "m-7b-chat"))
    made = make_card(soup_of(tmp_path, {base: 1, chat: 1}))
    (warning,) = made.warnings
    assert "`m-7b-chat` (name: `chat`)" in warning
    disclosure, _, rest = made.text.partition("## Recipe")
    assert ("> **Mind**: the ingredients look like different stages" in disclosure, "Mind" in rest) == (
        True,
        False,
    )
    assert str(tmp_path) not in made.text


def test_files_that_have_gone_leave_the_licence_open(tmp_path: Path, soup: Path) -> None:
    (tmp_path / "code").rename(tmp_path / "elsewhere")
    made = make_card(soup)
    assert "license" not in made.front_matter
    assert made.warnings == ("no licence is known of `code`: the files are not where they were",)
    assert make_card(soup, license="MIT").front_matter["license"] == "mit"


# ---- scores


def test_held_out_scores_are_marked(searched: tuple[Path, Path]) -> None:
    text = (searched[0] / "README.md").read_text()
    result = json.loads((searched[1] / "result.json").read_text())
    assert result["split"] is not None
    best = result["best"]
    chosen, held_out = best["selection"], best["report"]
    assert (
        f"| to choose on ({chosen['n_items']} items) | **held out** ({held_out['n_items']} items) |" in text
    )
    assert (
        f"`soce` (this soup) | {_weights(best)} | {chosen['value']:.2f} | **{held_out['value']:.2f}** |"
        in text
    )
    for name in ("math", "code"):
        assert re.search(rf"\| `{name}` \| \**{held_out['categories'][name]:.2f}", text)
    n_soups = result["n_candidates"]
    assert f"of {n_soups} different soups, none that was scored on all {chosen['n_items']} items" in text
    assert "optimistic" not in text


def _weights(arm: dict) -> str:
    return ", ".join(f"{part}/{arm['whole']} `{name}`" for name, part in arm["parts"].items())


def test_scores_that_were_not_held_out_say_so(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    result = search_with(pool(tmp_path, "ab"), Landscape(), folder=tmp_path / "search", share=None)
    made = publish_soup(result, tmp_path / "soup").card
    assert made is not None
    assert "Selected and reported on the same items: the figures are optimistic" in made.text
    assert "held out**" not in made.text
    with pytest.raises(EvaluationError, match="too good for a leaderboard"):
        make_card(tmp_path / "soup", benchmarks={"math": "openai/gsm8k:main"})


def test_the_run_beside_the_soup_is_found_and_that_of_another_is_refused(
    tmp_path: Path, searched: tuple[Path, Path]
) -> None:
    soup, search = searched
    parts = json.loads((search / "result.json").read_text())["best"]["parts"]
    soce.merge(
        {str(tmp_path / name): part for name, part in parts.items()},
        output=tmp_path / "again",
        options=soce.MergeOptions(sync=False),
    )
    assert make_card(tmp_path / "again").has_scores
    soce.merge(
        [str(tmp_path / "a"), str(tmp_path / "b")],
        output=tmp_path / "other",
        options=soce.MergeOptions(sync=False),
    )
    assert not make_card(tmp_path / "other").has_scores
    with pytest.raises(StudyError, match="its best soup is another one: "):
        make_card(tmp_path / "other", run=search)
    soce.merge(  # the same parts, of the other model each
        {str(tmp_path / name): part for name, part in zip(parts, reversed(parts.values()), strict=True)},
        output=tmp_path / "swapped",
        options=soce.MergeOptions(sync=False),
    )
    assert len(set(parts.values())) == 2
    assert not make_card(tmp_path / "swapped").has_scores
    with pytest.raises(StudyError, match="its best soup is another one: "):
        make_card(tmp_path / "swapped", run=search)
    with pytest.raises(StudyError, match=r"holds no `result.json`"):
        make_card(soup, run=tmp_path / "a")


def test_ingredients_are_called_as_the_run_called_them_also_by_relative_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    pool(tmp_path, "ab")
    monkeypatch.chdir(tmp_path)
    named = Pool({"alpha": "a", "beta": "b"}, ("alpha", "beta"))
    landscape = Landscape(optimum={"alpha": 0.7, "beta": 0.3})
    result = search_with(named, landscape, folder=tmp_path / "search")
    card = publish_soup(result, tmp_path / "soup", run=tmp_path / "search").card
    assert card is not None
    recipe = card.text.split("## Recipe")[1].split("##")[0]
    assert "| `alpha` | 7 | 70 % |" in recipe
    assert "| `beta` | 3 | 30 % |" in recipe


def test_benchmarks_become_results_that_the_hub_parses(searched: tuple[Path, Path]) -> None:
    hub = pytest.importorskip("huggingface_hub")
    soup = searched[0]
    soce.write_card(soup, benchmarks={"math": "openai/gsm8k:main", "code": "org/code.bench"})
    text = (soup / ".eval_results" / "soce.yaml").read_text()
    entries = hub.parse_eval_result_entries(yaml.safe_load(text))
    held_out = json.loads((soup / "soce.json").read_text())["run"]["notes"]["best"]["report"]["categories"]
    assert [(e.dataset_id, e.task_id, e.value) for e in entries] == [
        ("openai/gsm8k", "main", held_out["math"]),
        ("org/code.bench", "default", held_out["code"]),
    ]
    assert text.count("on items held out from the choice of the weights: not on all of the benchmark") == 2
    assert is_sealed(text)
    (soup / ".eval_results" / "soce.yaml").write_text("- mine\n")
    with pytest.raises(OutputError, match="not written by soce"):
        soce.write_card(soup, benchmarks={"math": "openai/gsm8k"})
    for benchmarks, words in (
        ({"chemistry": "a/b"}, "no category is called `chemistry`"),
        ({"math": "/etc/passwd"}, "is no benchmark on the Hub"),
        ({"math": "a/b:"}, "is no benchmark on the Hub"),
    ):
        with pytest.raises(EvaluationError, match=words):
            make_card(soup, benchmarks=benchmarks)


# ---- what is not touched


def test_no_tensor_is_touched_or_even_read(soup: Path) -> None:
    before = state_of(soup)
    soce.write_card(soup)
    (soup / "README.md").unlink()
    assert state_of(soup) == before
    (soup / "model.safetensors").unlink()
    assert soce.write_card(soup).warnings == ()


def test_what_a_user_wrote_outside_of_the_block_is_kept(soup: Path) -> None:
    soce.write_card(soup)
    path = soup / "README.md"
    text = path.read_text()
    text = text.replace(
        "tags:\n", "language: [en, de]\nlicense_note: 3\nbase_model: org/own\ntags:\n- mine\n"
    )
    text = text.replace("license: apache-2.0", "license: mit")
    text = text.replace("<!-- soce:begin", "# My soup\n\nAbove.\n\n<!-- soce:begin").replace(
        "## Recipe", "## Gone"
    )
    path.write_text(text + "\nBelow.\n")
    made = soce.write_card(soup, hub_ids={"math": "org/math"})
    again = path.read_text()
    assert made.is_edited
    assert not is_sealed(again)
    assert "soce:seal" not in again
    head = head_of(again)
    assert (head["language"], head["license_note"], head["license"]) == (["en", "de"], 3, "mit")
    assert head["base_model"] == ["org/own", "org/math"]
    assert head["tags"] == ["mine", "merge", "soce", "model-soup"]
    assert made.warnings[-1].startswith(
        "the card's head says license `mit` and the ingredients say `apache-2.0`"
    )
    assert "\n# My soup\n\nAbove.\n\n<!-- soce:begin" in again
    assert again.endswith("<!-- soce:end -->\n\nBelow.\n")
    assert "# `soup`" not in again
    assert "## Gone" not in again
    assert "## Recipe" in again
    soce.write_card(soup, hub_ids={"math": "org/math"})
    assert path.read_text() == again


def test_an_untouched_card_is_written_anew(soup: Path) -> None:
    first = soce.write_card(soup, license="mit")
    assert is_sealed(first.text)
    assert not first.is_edited
    assert soce.write_card(soup).front_matter["license"] == "apache-2.0"


@pytest.mark.parametrize(
    "text",
    [
        "# Mine\n",
        "",
        "---\nlicense: mit\n---\n<!-- soce:begin x -->\nno end\n",
        "<!-- soce:begin x -->\n<!-- soce:end -->\n<!-- soce:begin x -->\n<!-- soce:end -->\n",
        "\x00\xff",
    ],
)
def test_a_readme_that_is_no_card_of_soce_is_refused(soup: Path, text: str) -> None:
    path = soup / "README.md"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(OutputError, match=r"README.md`: is no card that soce has written"):
        soce.write_card(soup)
    assert path.read_bytes() == text.encode("latin-1")
    assert is_sealed(soce.write_card(soup, overwrite=True).text)


def test_a_head_that_is_no_yaml_is_refused(soup: Path) -> None:
    soce.write_card(soup)
    path = soup / "README.md"
    path.write_text(path.read_text().replace("tags:", "tags: [", 1))
    with pytest.raises(OutputError, match="no YAML mapping"):
        soce.write_card(soup)


def test_a_link_is_replaced_and_not_followed(tmp_path: Path, soup: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (soup / "README.md").symlink_to(tmp_path / "mine")
    soce.write_card(soup, overwrite=True)
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (soup / "README.md").is_symlink()


def test_a_merge_replaces_a_soup_with_its_card_but_not_with_a_word_of_the_user(
    tmp_path: Path, searched: tuple[Path, Path]
) -> None:
    soup = searched[0]
    soce.write_card(soup, benchmarks={"math": "openai/gsm8k:main"})
    again = {str(tmp_path / "a"): 1, str(tmp_path / "b"): 7}
    soce.merge(again, output=soup, options=soce.MergeOptions(overwrite=True, sync=False))
    assert not (soup / "README.md").exists()
    assert not (soup / ".eval_results").exists()
    soce.write_card(soup)
    with (soup / "README.md").open("a") as file:
        file.write("Mine.\n")
    with pytest.raises(OutputError, match=r"does not list: `README.md`"):
        soce.merge(again, output=soup, options=soce.MergeOptions(overwrite=True))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "holds no `soce.json`"),
        ("{", "not what was written here"),
        ("[" * 100_000, "not what was written here"),
        ("[]", "is no manifest of a soup"),
        ("{}", "is no manifest of a soup"),
        ('{"run": {"ingredients": ["a"]}, "sources": [], "result": {}}', "is no manifest of a soup"),
    ],
)
def test_what_is_no_soup_is_refused(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "soce.json").write_text(content)
    with pytest.raises(CheckpointError, match=words):
        soce.write_card(tmp_path)
    assert not (tmp_path / "README.md").exists()


# ---- hostile names


class Elements(HTMLParser):
    """Collects the elements and the text of code spans."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.codes: list[str] = []
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.names.add(tag)
        if tag == "code":
            self.depth += 1
            self.codes.append("")

    def handle_endtag(self, tag: str) -> None:
        self.depth -= tag == "code"

    def handle_data(self, data: str) -> None:
        if self.depth:
            self.codes[-1] += data


NASTY = [
    "<script>alert(1)</script>",
    "a`b`c",
    "a|b|c",
    "\\|x",
    "](javascript:1)",
    "![x](http://x)",
    "**b**",
    "--- x",
    "<!-- soce:end -->",
    "&lt;",
    " x ",
    "```",
    "{{ x }}",
]


@pytest.mark.parametrize("name", NASTY)
def test_names_are_shown_and_mean_nothing(tmp_path: Path, name: str) -> None:
    markdown = pytest.importorskip("markdown")
    safe = name.replace("/", ":")
    soup = soup_of(
        tmp_path, {model(tmp_path / safe, 1.0, readme=under("mit")): 2, model(tmp_path / "b", 2.0): 1}
    )
    notes_card(tmp_path, soup, name)
    made = soce.write_card(soup)
    assert made.has_scores
    page = Elements()
    page.feed(markdown.markdown(made.text.split("---\n", 2)[2], extensions=["tables", "fenced_code"]))
    allowed = {
        "h1",
        "h2",
        "p",
        "strong",
        "em",
        "code",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "a",
        "pre",
    }
    assert page.names <= allowed | {"details", "summary", "blockquote"}
    assert page.codes.count(safe) >= 3, page.codes
    assert page.codes.count(name) >= 2
    again = soce.write_card(soup)  # the marks of the block were not forged by the name
    assert again.text == made.text
    assert not again.is_edited


def notes_card(home: Path, soup: Path, name: str) -> None:
    """Lay a result beside the soup whose categories and models bear the name."""
    scored = ArmScore(0.5, {name: 0.5, "x": 0.25}, 3)
    result = SearchResult(
        objective=name,
        scale="unit",
        strategy={"name": name},
        arms=tuple(
            Arm(kind, label, parts, Recipe.of(parts), scored, scored)
            for kind, label, parts in (("single", name, {name: 1}), ("soce", "soce", {name: 2, "b": 1}))
        ),
        comparisons=(ArmComparison("soce", name, 0.0, 0.0, 0.0),),
        ranked=(),
        tied=(),
        trace={},
        n_candidates=2,
        is_optimistic=False,
        split=None,
        best_single_selection=name,
        best_single_report=name,
        notes=(name,),
    ).to_json()
    (home / "search").mkdir(exist_ok=True)
    (home / "search" / "result.json").write_text(json.dumps(result))


def test_texts_that_were_cut_differently_are_told_above_the_verdict(tmp_path: Path) -> None:
    soup = soup_of(tmp_path, {model(tmp_path / "a", 1.0): 2, model(tmp_path / "b", 2.0): 1})
    notes_card(tmp_path, soup, "a")
    path = tmp_path / "search" / "result.json"
    data = json.loads(path.read_text())
    for arm, n_cut in zip(data["arms"], (9, 1), strict=True):
        arm["report"]["truncation"] = {"a": {"n_cut": n_cut, "n_texts": 10}}
    path.write_text(json.dumps(data))
    text = soce.write_card(soup).text
    assert text.index("9 of 10 texts of `a` ended by length") < text.index("The soup does not beat")


def test_no_hidden_character_reaches_card_or_terminal(tmp_path: Path) -> None:
    name = f"x{HOSTILE}y"
    paths = {model(tmp_path / name, 1.0, readme=under('other\nlicense_name: "a\\u202eb"')): 1}
    soup = soup_of(tmp_path, {**paths, model(tmp_path / "b", 2.0): 1})
    result = run(soup)
    assert result.exit_code == 0
    for text in ((soup / "README.md").read_text(), result.stdout + result.stderr):
        assert not [c for c in text if c in HOSTILE or (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0]


# ---- the command


def test_the_command_writes_prints_and_refuses(tmp_path: Path, soup: Path) -> None:
    shown = run(soup, "--stdout")
    assert not (soup / "README.md").exists()
    written = run(soup)
    assert (written.exit_code, written.stdout) == (0, "")
    assert "README.md`, without scores: none are known, see `--run`" in written.stderr
    assert shown.stdout == (soup / "README.md").read_text()
    data = json.loads(run(soup, "--json", "--quiet", "--hub-id", "math=org/m").stdout)
    assert data["front_matter"]["base_model"] == ["org/m"]
    assert run(soup, "--quiet").stderr == ""
    for arguments, code, words in (
        ((soup, "--hub-id", "math"), 2, "`math` is not NAME=ORG/MODEL"),
        ((soup, "--hub-id", "x=org/m"), 1, "no ingredient is called `x`"),
        ((soup, "--hub-id", "math=/work/m"), 1, "is no id of a model on the Hub"),
        ((soup, "--benchmark", "=x"), 2, "is not CATEGORY=DATASET"),
        ((soup, "--benchmark", "math=a/b"), 1, "no scores are known of this soup"),
        ((soup, "--json", "--stdout"), 2, "do not go together"),
        ((tmp_path,), 1, "holds no `soce.json`"),
        ((soup, "--run", tmp_path), 1, "holds no `result.json`"),
    ):
        found = run(*arguments)
        assert (found.exit_code, found.stdout) == (code, "")
        assert words in found.stderr
