"""Small drawn clips and folders of runs for tests."""

from pathlib import Path

PROMPTS = ("a red ball rolls to the right", "a blue ball rolls to the right, slowly", "ein grüner Ball: 3 Mal")
ROWS = ("01-a-red-ball-rolls-to-the-right", "02-a-blue-ball-rolls-to-the-right-slowl", "03-ein-gruner-ball-3-mal")
COLOURS = ((220, 60, 50), (60, 90, 230), (60, 190, 90))


def ball(number, of, size=(96, 64), colour=COLOURS[0], large=1.0):
    """Return a frame: a ball on its way from left to right, over a floor."""
    from PIL import Image, ImageDraw

    width, height = size
    image = Image.new("RGB", size, (24, 28, 40))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, height * 3 // 4, width, height), fill=(90, 80, 60))
    radius = height * large / 5
    middle = radius + (width - 2 * radius) * number / max(1, of - 1), height * 3 / 4 - radius
    pen.ellipse((middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius), fill=colour)
    return image


def write_clip(path, frames=12, fps=8, size=(96, 64), colour=COLOURS[0], large=1.0):
    """Write a clip without loss: flat colours stay flat."""
    import av

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=fps, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv444p"
        stream.codec_context.thread_count = 1
        for number in range(frames):
            file.mux(stream.encode(av.VideoFrame.from_image(ball(number, frames, size, colour, large))))
        file.mux(stream.encode())
    return path


def write_run(folder, steps=(100, 200, 300), prompts=2, frames=12):
    """Write a run's folder: clips on the way, which get better, at the end, and a strip of all."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = ", ".join(f'"{text}"' for text in PROMPTS)
    text = f'vflow: 1\nname: "x"\nnodes:\n  p: {{type: "Prompts", prompts: [{listed}]}}\n'
    (folder / "graph.yaml").write_text(text, encoding="utf-8")
    for row, colour in list(zip(ROWS, COLOURS, strict=True))[:prompts]:
        for number, step in enumerate(steps, 1):
            path = folder / f"samples/step-{step:06d}/{row}.mp4"
            write_clip(path, frames, colour=colour, large=0.4 + 0.8 * number / len(steps))
        write_clip(folder / f"outputs/videos/{row}.mp4", frames, colour=colour)
    ball(0, 4, (192, 128)).save(folder_of(folder / "outputs/strip") / "picture.png")
    return folder


def folder_of(path):
    path.mkdir(parents=True, exist_ok=True)
    return path
