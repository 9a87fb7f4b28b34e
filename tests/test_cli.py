"""The command line: one message and an exit code for whatever goes wrong."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from toolmaster import __version__ as version
from toolmaster import cli, runs
from toolmaster.commands import stages as stage_commands
from toolmaster.pipeline import stages
from toolmaster.pipeline.recipe import Recipe
from toolmaster.runs import Run, append_trajectory, read_trajectories


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(f'run = "{tmp_path / "run"}"\n')
    return path


@pytest.fixture
def trajectories(tmp_path, task_ids, demonstrate):
    path = tmp_path / "trajectories.jsonl"
    for task_id in task_ids("train", 2, "plain"):
        append_trajectory(path, demonstrate(task_id))
    return path


def one_message(error):
    """The message of an error, which is one line without a traceback."""
    assert error.startswith("toolmaster: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error
    return error.removeprefix("toolmaster: ").strip()


def test_a_stage_too_early(toolmaster, recipe):
    code, _, error = toolmaster("sft", recipe)
    assert code == 1
    assert one_message(error).endswith("has no finished demonstrate stage; run `demonstrate` first")


def test_a_run_goes_on_in_a_new_process_after_each_stage(
    toolmaster, recipe, tmp_path, tiny_folder, monkeypatch
):
    monkeypatch.setattr(stage_commands, "restart", lambda: sys.exit(77))
    monkeypatch.setitem(stages._STAGES, "sft", (lambda *_: None, ()))
    small = [f"model={tiny_folder}", "demonstrate.count=1"]
    small.append('evaluate.tasks=["world split=test tasks=2"]')
    for told in (False, True):  # the second comes to the next stage
        code, _, error = toolmaster("run", recipe, *small)
        assert (code, "finished: demonstrate; to run one again" in error) == (77, told)
        assert (tmp_path / "run" / "demonstrate" / "done.json").is_file()
    monkeypatch.setattr(stages, "run_next", lambda recipe: "report")
    code, _, _ = toolmaster("run", recipe, *small)
    assert code == 0


def test_a_process_that_starts_again_keeps_its_settings(toolmaster, recipe, monkeypatch):
    begun = []
    monkeypatch.setattr(stages, "run_next", lambda recipe: begun.append(recipe) or "sft")
    handed_on = {}

    def restart():
        handed_on.update(os.environ)
        sys.exit(77)

    monkeypatch.setattr(stage_commands, "restart", restart)
    assert toolmaster("run", recipe, "seed=7")[0] == 77
    recipe.write_text("seed = 8\n")  # edited meanwhile, or a pipe that has been read
    for name in handed_on.keys() - os.environ.keys():
        monkeypatch.setenv(name, handed_on[name])
    toolmaster("run", recipe, "seed=7")
    assert begun[1] == begun[0]
    assert begun[0].seed == 7
    toolmaster("run", recipe)
    assert begun[2].seed == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["evaluate", "base"],
            "`evaluate` takes a RECIPE (cpu, direct, full, gpu, paper, quickstart",
        ),
        (["grpo", "a", "b", "c"], "or MODEL and TASKSET; received 'a', 'b', 'c'"),
        (["sft"], "or MODEL and DEMONSTRATIONS.jsonl; received none of them"),
        (["run"], "`run` takes a RECIPE (cpu, direct, full, gpu, paper, quickstart"),
        (["report", "x"], "a TOML file of yours, or a run's folder); received 'x'"),
        (["run", "none.toml"], "cannot read 'none.toml'"),
        (["demonstrate", "quickstart", "more"], "takes one recipe; received also 'more'"),
        (["demonstrate", "--quick"], "Unknown option: --quick"),
        (["demonstrate", "quickstart", "seed=-1"], "toolmaster: seed: "),
        (["evaluate", "m", "world speed=3"], "no option 'speed'; it takes: split, tasks, weight"),
        (["view"], "`view` needs FILE. See `toolmaster view --help`"),
        (["propose", "x"], "`propose` needs --model."),
        (
            ["--model", "openai:x", "solve", "q"],
            "--model stands before the command; options follow",
        ),
        (["recipe", "quickstart", "mine.toml"], "put > before 'mine.toml'"),
        (["serve-session", "v6/test/3", "--port", "99999"], "<= 65535"),
        # told before an earlier stage is missed
        (["sft", "quickstart", "sft.trainer.learnign_rate=1"], "did you mean 'learning_rate'?"),
        (["grpo", "quickstart", "--reward", "lenght"], "unknown reward 'lenght'"),
        (["view", "x", "--tokens", "m"], "toolmaster view x NUMBER --tokens m"),
        # a place, option or setting for what another one says already
        (["evaluate", "m", "t", "--model", "x"], "twice, as MODEL 'm' and as --model x"),
        (["grpo", "m", "t", "tasks=u"], "tasks is given twice, as TASKSET 't' and as tasks=u"),
        (["sft", "m", "d.jsonl", "demonstrate.file=x"], "as DEMONSTRATIONS.jsonl 'd.jsonl' and"),
        (["demonstrate", "t", "--count", "2", "count=3"], "--demonstrate.count 2 and as count=3"),
        (["run", "quickstart", "seed=1", "seed=2"], "twice, as seed=1 and as seed=2; leave one"),
        (["run", "quickstart", "--seed", "1", "--seed", "2"], "--seed specified multiple times"),
        (["evaluate", "m", "t", "--evaluate.tasks", "u"], "takes this with a recipe alone"),
        (["grpo", "m", "t", "sft.lora_rank=8"], "sft.lora_rank=8: `grpo` takes this with a"),
        (
            ["evaluate", "quickstart", "--out", "x"],
            "toolmaster: --out x: only `evaluate MODEL TASKSET`",
        ),
        # options of a task set without its quotes
        (["evaluate", "m", "bfcl", "tasks=5"], 'in its quotes: "bfcl tasks=5"'),
        (["grpo", "m", "world", "split=test", "families=loud"], '"world split=test families=loud"'),
        (["evaluate", "quickstart", "tasks=5"], 'is an option of a set, as in "world tasks=5"'),
        # told before the model is looked for, which is none
        (["grpo", "m", "world:short", "--reward", "formt"], "unknown reward 'formt'"),
        (["grpo", "m", "world", "--reward", "judge"], "needs a model: set grpo.judge.model"),
        (["grpo", "m", "world split=tset"], "has no split 'tset'"),
        (["run", "quickstart", "model=m", "grpo.rewards={formt=1}"], "unknown reward 'formt'"),
        (["evaluate", "openai:", "world"], "a model is openai:NAME, a checkpoint folder,"),
        (["demonstrate", "world tasks=1", "--teacher", "openai:"], "received 'openai:'"),
    ],
)
def test_words_that_are_none(toolmaster, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, _, error = toolmaster(*words)
    assert code == 2
    assert one_message(error)
    assert message in error


def test_a_model_and_a_task_set_in_place_of_a_recipe(toolmaster, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import toolmaster as tm\n"
        "def add(a: int, b: int) -> int:\n"
        "    'Add.'\n"
        "    return a + b\n"
        "calls = [[tm.ToolCall(name='add', arguments={'a': 1, 'b': 1})]]\n"
        "tasks = [tm.Task('one', '1 + 1?', tools=[add], answer='2', calls=calls)]\n"
    )
    out = tmp_path / "out.jsonl"
    words = ["evaluate", "replay", f"{tmp_path}/mine.py:tasks", "--out", out]
    code, shown, _ = toolmaster(*words, "--json")
    assert code == 0
    success = json.loads(shown)["success"]
    assert (success["mean"], success["low"], success["count"]) == (1.0, None, 1)
    assert len(read_trajectories(out)) == 1
    page = out.with_suffix(".html").read_text()
    assert "/mine.py:tasks: 100.0% [one task] of 1 task.</p>" in page
    assert "<dt>model</dt><dd>replay</dd>" in page
    _, again, error = toolmaster(*words, "--json")
    assert (json.loads(again)["success"], "1 of 1 rollouts are kept" in error) == (success, True)
    assert f"in {out} and are used again; to start afresh, remove it" in error
    out.with_suffix(".html").unlink()
    assert json.loads(toolmaster("report", out, "--json")[1])["success"] == success
    assert "<dt>model</dt><dd>replay</dd>" in out.with_suffix(".html").read_text()
    code, shown, _ = toolmaster("tasks", f"{tmp_path}/mine.py:tasks", "--json")
    assert json.loads(shown)["tools"] == ["add"]
    code, shown, _ = toolmaster("tasks")
    assert {"world[:full|calls|short]", "bfcl[:CATEGORY]", "ftrl:FILE"} <= set(shown.split())
    _, shown, _ = toolmaster("tasks", "--json")
    listed = {line["name"]: line["options"] for line in map(json.loads, shown.splitlines())}
    assert "families" in listed["world"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--run", "2026-11-30", "--trainer.max-steps", "7", "--grpo.judge.model", "openai:j"],
        ["run=2026-11-30", "trainer.max_steps=7", "grpo.judge.model=openai:j"],
        ["--run=2026-11-30", "--grpo.trainer.max_steps=7", "judge.model=openai:j"],
    ],
)
def test_an_option_and_a_setting_say_the_same(toolmaster, monkeypatch, arguments):
    started = []
    monkeypatch.setattr(stages, "run_stage", lambda recipe, name: started.append(recipe))
    places = ["m", "/x/\U0001f600.jsonl", "--reward", "mine.py:f", "--reward", "format"]
    assert toolmaster("grpo", *places, *arguments)[0] == 0
    [recipe] = started
    assert str(recipe.run) == "2026-11-30"
    assert (recipe.model, recipe.tasks, recipe.stages) == ("m", places[1], ("grpo",))
    assert recipe.grpo.trainer["max_steps"] == 7
    assert recipe.grpo.judge.model == "openai:j"
    weights = {"mine.py:f": 1.0, "format": 1.0, "correctness": 0.0, "call_cost": 0.0}
    assert recipe.grpo.rewards == weights


def test_a_recipe_by_name(toolmaster, monkeypatch):
    started = []
    monkeypatch.setattr(stages, "run_stage", lambda recipe, name: started.append(recipe))
    assert toolmaster("demonstrate", "quickstart", "count=3")[0] == 0
    assert (str(started[0].run), started[0].demonstrate.count) == ("runs/quickstart", 3)
    code, shown, _ = toolmaster("recipe", "quickstart")
    assert (code, 'run = "runs/quickstart"' in shown) == (0, True)
    listed = dict(line.split(maxsplit=1) for line in toolmaster("recipe")[1].splitlines())
    assert listed["direct"] == "The baseline without a trial phase: demonstrations and SFT only."


def test_compare_counts_a_rollout_that_was_run_again_once(toolmaster, trajectories, tmp_path):
    broken = tmp_path / "broken.jsonl"
    for trajectory in read_trajectories(trajectories):
        again = {"error": "gone", "score": None}
        append_trajectory(broken, trajectory.model_copy(update=again))
        append_trajectory(broken, trajectory)
    _, shown, _ = toolmaster("compare", trajectories, broken, "--json")
    compared = json.loads(shown)
    assert compared["difference"]["mean"] == 0
    assert (compared["won"], compared["lost"]) == ([], [])


def test_the_results_of_a_run_as_json(toolmaster, recipe, trajectories, tmp_path):
    (tmp_path / "run" / "evaluate").mkdir(parents=True)
    trajectories.rename(tmp_path / "run" / "evaluate" / "base.jsonl")
    code, shown, _ = toolmaster("report", recipe, "--json")
    assert (code, json.loads(shown)["base model"]["success"]["count"]) == (0, 2)
    Run(tmp_path / "run", Recipe(stages=("evaluate",)))
    assert toolmaster("report", tmp_path / "run", "--json")[1] == shown
    assert toolmaster("compare", tmp_path / "run", tmp_path / "run" / "evaluate")[0] == 0
    Run(tmp_path / "demos", Recipe(stages=("demonstrate",)))
    code, _, error = toolmaster("report", tmp_path / "demos")
    assert (code, "run `evaluate` first, or look at" in one_message(error)) == (
        1,
        True,
    )


def test_logs_and_crashes_steer_no_terminal_and_show_no_credentials(tmp_path):
    steering = "\x1b]0;PWNED\x07 http://me:hunter2@h"
    document = tmp_path / "api.json"
    paths = {"/x": {steering: {}}, "/y": {"get": {"operationId": "y"}}}
    document.write_text(json.dumps({"openapi": "3.0.0", "info": {}, "paths": paths}))
    code = (
        "import sys; from toolmaster import cli\n"
        f"sys.argv = ['toolmaster', 'tools', {str(document) + ' base_url=http://h'!r}]\n"
        f"try: cli.main()\nfinally: raise KeyError({steering!r} + chr(0x9b))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.count("PWNED") > 1
    assert "KeyError" in done.stderr
    assert "1 operations, 1 left out" in done.stderr
    assert not any(text in done.stderr for text in ("\x1b", "\x07", "\x9b", "hunter2"))


def test_an_error_does_not_steer_the_terminal(toolmaster):
    code, _, error = toolmaster("view", "none\x1b[31m\u202e.jsonl")
    assert (code, one_message(error)) == (1, "none\ufffd[31m\ufffd.jsonl: no such file")


def test_changed_settings(toolmaster, recipe, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps({"seed": 5}))
    (tmp_path / "run" / "metrics.jsonl").touch()
    code, _, error = toolmaster("demonstrate", recipe)
    assert code == 2
    assert "was begun with other settings" in one_message(error)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["view", "runs/nope"], "runs/nope: no such file (did you mean 'nopes'?)"),
        (["view", "none.jsonl"], "none.jsonl: no such file"),
        (["compare", "none.jsonl", "none.jsonl"], "none.jsonl: no such file"),
        (["tasks", "toolhop:ToolHop.json"], "(did you mean 'toolhop.json'?)"),
        (["tasks", "shopp.py:Shop"], "/shopp.py: no such file (did you mean 'shop.py'?)"),
        (["tasks", "wrold:short"], "'wrold:short': there is none (did you mean 'world'?); wrold:"),
        (["demonstrate", "wrold:short"], "(did you mean 'world'?)"),
        (["evaluate", "gpt-4o", "bfcl"], "for a model behind an endpoint openai:gpt-4o"),
        (["evaluate", "replay", "world:short tasks=2"], "those of bfcl and apibank have"),
    ],
)
def test_what_is_not_there(toolmaster, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "nopes").mkdir(parents=True)
    for name in ("toolhop.json", "shop.py"):
        (tmp_path / name).touch()
    code, _, error = toolmaster(*words)
    assert code == 1
    assert message in one_message(error)


def test_a_folder_of_no_evaluation(toolmaster, trajectories, tmp_path):
    other = tmp_path / "other"
    (other / "a").mkdir(parents=True)
    shutil.copy(trajectories, other / "a")
    for command in (["report", other], ["compare", other, tmp_path]):
        code, _, error = toolmaster(*command)
        assert (code, "is not the folder of an evaluation" in one_message(error)) == (1, True)
        assert f"There are: {other / 'a'}" in error
    assert toolmaster("compare", other / "a", tmp_path)[0] == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{oops}", "line 2: not valid JSON"),
        ('{"task_id": 5}', "line 2: task_id: Input should be a valid string"),
        ("[]", "line 2: Input should be"),
        ("[" * 100_000, "line 2: not valid JSON"),
    ],
)
def test_damaged_trajectories(toolmaster, trajectories, line, message):
    lines = trajectories.read_text().splitlines()
    trajectories.write_text("\n".join([lines[0], line, lines[1], ""]))
    code, _, error = toolmaster("view", trajectories)
    assert code == 1
    assert message in one_message(error)


def test_no_such_record(toolmaster, trajectories):
    code, _, error = toolmaster("view", trajectories, 2)
    assert code == 1
    assert one_message(error).endswith("holds 2 trajectories; there is no 2")


def test_view(toolmaster, trajectories, tiny_folder):
    code, out, _ = toolmaster("view", trajectories)
    assert (code, "2 of 2 records, 2 solved" in out) == (0, True)
    code, out, _ = toolmaster("view", trajectories, "--failed")
    assert (code, out) == (0, "no record that failed: 0 of 2 records, 2 solved\n")
    code, out, _ = toolmaster("view", trajectories, "1")
    assert (code, "execution phase" in out) == (0, True)
    code, out, _ = toolmaster("view", trajectories, "0", "--tokens", tiny_folder)
    assert code == 0
    assert "<|im_end|>" in out


def test_a_terminal_that_lacks_a_character(trajectories):
    text = trajectories.read_text().replace("<think>", "<think>\u0419 ")
    trajectories.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "toolmaster", "view", trajectories, "0"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"    ? " in done.stdout


def test_view_counts_from_the_end(toolmaster, trajectories):
    """As `solve` tells the user to look at what it kept."""
    last = toolmaster("view", trajectories, "1")
    assert toolmaster("view", trajectories, "-1") == last
    assert last[0] == 0
    assert toolmaster("view", trajectories, "-9")[0] == 1
    assert toolmaster("view", trajectories, "--tokn")[0] == 2


def test_compare(toolmaster, trajectories):
    code, out, _ = toolmaster("compare", trajectories, trajectories)
    assert code == 0
    assert f"A:{trajectories}B:{trajectories}" in "".join(out.split())


def test_a_checkpoint_without_a_tool_template(toolmaster, trajectories, tmp_path):
    from tokenizers import Tokenizer, models  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    folder = tmp_path / "plain"
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE())).save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    code, _, error = toolmaster("view", trajectories, "0", "--tokens", folder)
    assert code == 1
    assert "is missing, and the vocabulary lacks" in one_message(error)


def test_no_such_model(toolmaster, tmp_path):
    code, _, error = toolmaster("model", tmp_path / "none")
    assert code == 1
    assert "is not a checkpoint folder" in one_message(error)


def test_a_full_disk(toolmaster, recipe, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "_end_last_line", full)
    code, _, error = toolmaster("demonstrate", recipe)
    assert code == 1
    assert "No space left on device; what was written before is intact" in one_message(
        error.splitlines(keepends=True)[-1]
    )


@pytest.mark.parametrize(
    ("reason", "free"),
    [("I/O error: No space left on device (os error 28)", 2**30), ("unexpected pos 64", 0)],
)
def test_a_disk_that_a_library_found_full(toolmaster, recipe, tmp_path, monkeypatch, reason, free):
    """Safetensors and torch have errors of their own for it."""

    def fails(settings, name):
        settings.run.mkdir()
        raise RuntimeError(reason)

    monkeypatch.setattr(stages, "run_stage", fails)
    monkeypatch.setattr(
        "toolmaster.runs.shutil.disk_usage", lambda folder: SimpleNamespace(free=free)
    )
    code, _, error = toolmaster("sft", recipe)
    assert code == 1
    assert one_message(error).startswith(f"no space left for {tmp_path / 'run'}; what is finished")


def test_an_error_that_nobody_expected_keeps_its_traceback(toolmaster, recipe, monkeypatch):
    def fails(settings, name):
        raise RuntimeError("a bug")

    monkeypatch.setattr(stages, "run_stage", fails)
    with pytest.raises(RuntimeError, match="a bug"):
        toolmaster("sft", recipe)


def test_ctrl_c(toolmaster, recipe, monkeypatch):
    def stopped(settings, name):
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "run_stage", stopped)
    code, _, error = toolmaster("demonstrate", recipe)
    assert code == 130
    assert one_message(error) == "stopped; the same command continues from here"


def test_sft_takes_a_file_of_demonstrations(
    toolmaster, tmp_path, monkeypatch, task_ids, demonstrate
):
    file, trained = tmp_path / "made.jsonl", []
    for task_id in task_ids("train", 2, "plain"):
        append_trajectory(file, demonstrate(task_id))

    def train(recipe, run, folder):
        trained.extend(read_trajectories(run.folder / "demonstrate" / "trajectories.jsonl"))

    monkeypatch.setitem(stages._STAGES, "sft", (train, ("demonstrate",)))
    code, _, error = toolmaster("sft", "m", file, f"run={tmp_path / 'run'}")
    assert (code, len(trained)) == (0, 2), error
    assert f"next: toolmaster evaluate {tmp_path / 'run' / 'sft' / 'model'} TASKSET" in error
    code, _, error = toolmaster("sft", "m", file, f"run={tmp_path / 'run'}")
    assert (code, len(trained)) == (0, 2), error
    assert "sft has finished already; to do it again, remove" in error


def help_of(*words):
    """What a new process prints: the width of a terminal is read once."""
    command = [sys.executable, "-m", "toolmaster", *words, "--help"]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout


def test_help_is_made_from_the_settings(toolmaster):
    shown = help_of("demonstrate")
    assert "--count --demonstrate.count INT" in shown
    assert "--sampling.slots --demonstrate.sampling.slots INT" in shown
    joined = " ".join(shown.replace("│", " ").split())
    assert "[default: 1024]" in joined  # what holds for a teacher, not for any model
    assert "[default: 400; without a recipe: not set]" in joined
    assert "[default: runs/quickstart; without a recipe: runs/demonstrate]" in joined
    assert "--grpo.oversample" not in shown
    assert "toolmaster demonstrate world:short --count 1000" in shown
    assert "Exit codes: 0 done" in shown
    assert "--grpo.oversample INT" in help_of("run")
    shown = help_of()
    assert [shown.index(f"─ {panel} ─") for panel in ("Use", "Train", "Measure", "Explore")]
    assert toolmaster("-V") == (0, f"{version}\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_settings(shell):
    assert "sft.lora-rank" in cli.app.generate_completion(shell=shell)


def test_help_speaks_plainly_and_its_examples_are_understood(toolmaster):
    commands = [name for name in cli.app if not name.startswith("-")]
    for command in commands:
        shown = toolmaster(command, "--help")[1]
        for unclear in ("None ", "None.", "(Eq", "_DEFAULTS", "[default: ()]"):
            assert unclear not in shown, command
        examples = re.findall(r"^  toolmaster (.*)", shown, re.MULTILINE)
        assert examples
        for example in examples:
            words = shlex.split(example.partition(">")[0])
            cli.app.parse_args(words, exit_on_error=False, print_error=False)
            files = re.findall(r"([^\s\"=]+)\.(?:py|txt|toml|jsonl?)\b", " ".join(words))
            own = [file for file in files if file.isupper() or file.startswith("FOLDER_")]
            assert files == own, example  # what a user has to fill in


def test_suggestions(toolmaster):
    for words, meant in (
        (["slove"], '"solve"'),
        (["solve", "q", "--modle", "x"], "--model"),
        (["run", "quickstart", "--sft.lora-rnk", "3"], "--sft.lora-rank"),
        (["run", "quikstart"], "'quickstart'"),
        (["grpo", "quikstart"], "'quickstart'"),
        (["run", "quickstart", "sft.lora_rnk=1"], "'lora_rank'"),
        (["evaluate", "m", "bfcl", "rollots=1"], "'rollouts'"),
        (["demonstrate", "quickstart", "protocol=trail"], "'trial'"),
        (["tasks", "wrld"], "'world'"),
        (["tasks", "world:shrt"], "'short'"),
        (["tasks", "world families=lound"], "'loud'"),
        (["tasks", "world split=tset"], "'test'"),
        (["tasks", "world splt=test"], "'split'"),
        (["tasks", "bfcl:simple_pyton"], "'simple_python'"),
        (["experience", "lst"], '"list"'),
    ):
        code, _, error = toolmaster(*words)
        assert (code, f"id you mean {meant}" in one_message(error)) == (2, True)
