"""Damages files as disks, networks and unfinished copies do."""

import pathlib
import random


def damage_file(path: pathlib.Path, rng: random.Random) -> None:
    """Flips a bit, zeroes, scrambles, cuts, doubles or lengthens a file.

    Args:
      path: the file, which is changed.
      rng: fixes the damage.
    """
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data)) if data else 0
    part = slice(at, at + 64)
    match rng.randrange(7) if data else 6:
        case 0 | 1:
            data[at] ^= 1 << rng.randrange(8)
        case 2:
            data[part] = bytes(len(data[part]))
        case 3:
            data[part] = rng.randbytes(len(data[part]))
        case 4:
            del data[at:]
        case 5:
            data[at:at] = data[part]
        case _:
            data += rng.randbytes(64)
    path.write_bytes(data)


def damage_folder(folder: pathlib.Path, rng: random.Random, pattern: str = "*") -> None:
    """Damages one file of a folder, empties it, removes it, or puts a folder or a link in its place.

    Args:
      folder: a folder with files, also in folders of its own.
      rng: fixes the damage.
      pattern: of the names of the files that may be damaged.
    """
    path = rng.choice(sorted(path for path in folder.rglob(pattern) if path.is_file()))
    match rng.randrange(10):
        case 0:
            path.unlink()
        case 1:
            path.write_bytes(b"")
        case 2:
            path.unlink()
            path.mkdir()
        case 3:
            path.unlink()
            path.symlink_to(rng.choice(["/dev/zero", "nowhere", path.name]))
        case _:
            damage_file(path, rng)
