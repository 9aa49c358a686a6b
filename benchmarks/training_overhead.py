"""What vflow adds to training: time per step, and time from process start to the first step, against a plain loop.

    python benchmarks/training_overhead.py [--steps 300] [--starts 5] [--profile]

Both train the same LoRA on the same miniature, latents, embeddings and settings, in one run of this script. Steps are
taken in turns within one process, so that whatever else the machine does hits both alike; starts are processes, in
turns as well, with everything encoded before. Limits: 1.10 a step, 1.25 to the first step.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).parent
GRAPH = """\
vflow: 1
name: overhead
extends: ltx2_lora.yaml
profiles:
  overhead:
    # the smallest weights and a batch of one: what is added to each step shows most there
    params: {model: "tiny://ltx2?random"}
    nodes:
      train:
        batch_size: 1
        schedule: {name: constant, warmup_steps: 0}
        gradient_checkpointing: false
        flow: {first_frame_probability: 0.0}
        evaluation: {every: 0}
        checkpoint_every: 0
        sample_every: 0
"""


def main():
    arguments = read_arguments()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copy(HERE.parent / "graphs" / "ltx2_lora.yaml", place)
        (place / "overhead.yaml").write_text(GRAPH)
        run(place, seed=0, steps=1)  # encodes everything
        session = plan(place, seed=1, steps=arguments.steps + 100)
        export(session, place / "plain")
        compare_steps(session, place / "plain", arguments.steps, arguments.profile)
        compare_starts(place, arguments.starts)


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="show where both loops spend their time")
    return parser.parse_args()


def run(place, seed, steps):
    """Run the graph; return seconds from process start to the first training step."""
    vflow = Path(sys.executable).with_name("vflow")
    words = [vflow, "run", "overhead.yaml", "--profile", "tiny", "--profile", "overhead", "--out", f"run-{seed}"]
    words += ["--set", f"seed={seed}", "--set", f"steps={steps}", "--until", "train", "--cache", "store", "--quiet"]
    started = time.time()
    subprocess.run(words, cwd=place, check=True, stdout=subprocess.DEVNULL)
    events = map(json.loads, (place / f"run-{seed}" / "events.jsonl").read_text().splitlines())
    return next(e["time"] - started for e in events if (e["kind"], e.get("node")) == ("progress", "train"))


def plan(place, seed, steps):
    """Return the planned session of a training that has not been done, with all its inputs in the store."""
    from vflow.engine.session import Request, planned

    os.chdir(place)
    sets = (f"seed={seed}", f"steps={steps}")
    return planned(Request("overhead.yaml", ("tiny", "overhead"), sets, place / "store", until=("train",)))


def given(session):
    from vflow.nodes.training.loop import Inputs

    step = session.plan.steps["train"]
    values = session.plan.inputs_of(step)
    return step, Inputs(values["transformer"], values["latents"], values["captions"])


def export(session, folder):
    """Write what the plain loop reads: the transformer, latents and embeddings, and the settings."""
    from safetensors.torch import save_file

    from vflow.nodes.encoding.tensors import read
    from vflow.nodes.models.fetch import folder_of

    step, inputs = given(session)
    context = session.world.context_for(step)
    shutil.copytree(folder_of(inputs.transformer.source, context) / "transformer", folder / "transformer")
    tensors = {}
    for row, latent in inputs.latents.items():
        tensors[f"latents/{row}"] = read(context.blob_path(latent.blob))["latents"].float()
    for row, embedding in inputs.captions.items():
        tensors |= {f"{name}/{row}": t.clone() for name, t in read(context.blob_path(embedding.blob)).items()}
    save_file(tensors, folder / "samples.safetensors")
    node, (lora,) = step.node, inputs.transformer.transformations
    settings = {
        "dtype": inputs.transformer.dtype,
        "precision": node.precision,
        "rank": lora.rank,
        "dropout": lora.dropout,
        "pattern": lora.pattern,
        "gradient_checkpointing": node.gradient_checkpointing,
        "lr": node.optimizer.lr,
        "batch_size": node.batch_size,
        "caption_dropout": node.caption_dropout,
        "clip_norm": node.clip_norm,
        "fps": inputs.latents[0].fps,
    }
    (folder / "settings.json").write_text(json.dumps(settings))


def compare_steps(session, folder, steps, profile):
    import plain_loop

    from vflow.engine.folder import RunFolder
    from vflow.engine.lending import Lender
    from vflow.nodes.training.loop import Training
    from vflow.nodes.training.samples import join

    session.world.lender = Lender()
    session.world.folder = RunFolder.create(folder.parent / "in-process", "overhead")
    session.world.bus.listen(session.world.folder.listen)
    step, inputs = given(session)
    context = session.world.context_for(step)
    samples = join(inputs.latents, inputs.captions, context)
    with context.load(inputs.transformer) as live:
        training = Training(step.node, context, inputs, live, samples, (), inputs.captions.by_row()["empty"])
        with training.ready(), closing(training.steps()) as ours, closing(plain_loop.steps(folder)) as plain:
            take_turns(20, ours, plain)
            wall, cpu = take_turns(steps, ours, plain)
            if profile:
                show_profile("vflow", ours)
                show_profile("plain loop", plain)
    say("a step", wall, "ms", 1000, 1.10, f"; CPU time {medians_ratio(cpu):.3f}")


def take_turns(count, *iterators):
    """Take a step of each in turn; return wall and CPU seconds of every step, a list for each iterator."""
    wall, cpu = [[] for _ in iterators], [[] for _ in iterators]
    for _ in range(count):
        for place, iterator in enumerate(iterators):
            started, used = time.perf_counter(), time.process_time()
            next(iterator)
            wall[place].append(time.perf_counter() - started)
            cpu[place].append(time.process_time() - used)
    return wall, cpu


def compare_starts(place, times):
    vflow, plain = [], []
    for number in range(times):
        vflow.append(run(place, seed=2 + number, steps=1))
        started = time.time()
        with subprocess.Popen(
            [sys.executable, HERE / "plain_loop.py", "plain"], cwd=place, stdout=subprocess.PIPE
        ) as p:
            p.stdout.readline()
            plain.append(time.time() - started)
    say("to the first step", (vflow, plain), "s", 1, 1.25)


def medians_ratio(pair):
    return statistics.median(pair[0]) / statistics.median(pair[1])


def say(what, pair, unit, scale, limit, more=""):
    ours, plain = (statistics.median(times) * scale for times in pair)
    times = f"{len(pair[0])} each"
    print(
        f"{what}: vflow {ours:.2f} {unit}, plain {plain:.2f} {unit}, {times}: {ours / plain:.3f} (limit {limit}){more}"
    )


def show_profile(what, iterator):
    import cProfile
    import pstats

    print(f"\n--- {what}, 50 steps ---")
    with cProfile.Profile() as profile:
        for _ in range(50):
            next(iterator)
    pstats.Stats(profile).sort_stats("cumtime").print_stats(25)


if __name__ == "__main__":
    main()
