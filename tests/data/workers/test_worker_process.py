import subprocess
import sys


def test_processes_that_read_end_with_the_process_that_trains_when_it_is_killed(video_folder):
    script = video_folder / "killed.py"
    script.write_text(f"""
import time
from motion_vit.data.batches.clip_options import ClipOptions
from motion_vit.data.batches.training_batches import TrainingBatches
from motion_vit.data.sources.video_list import read_video_list

if __name__ == "__main__":
    videos = read_video_list({str(video_folder / "all.csv")!r})
    stream = TrainingBatches(videos, ClipOptions(frames=2, size=8), batch_size=2, seed=0, workers=1)
    next(stream)
    print("reading", flush=True)
    time.sleep(600)
""")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout.readline() == "reading\n"
        training.kill()
        # The pipe is at its end when the last process that holds it is gone.
        assert training.communicate(timeout=60)[0] == ""
