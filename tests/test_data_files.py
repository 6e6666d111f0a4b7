"""Official data as people have them: what changed, what was left behind, how names are spelled, what lists say twice."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from official import make_audioset, make_imagenet, make_kinetics, make_modelnet_meshes, make_modelnet_texts

from benchmark.cli.main import main
from benchmark.data.catalogue import escape, find, items, prepare, read, unescape
from benchmark.data.datasets import layouts_of
from benchmark.data.embedded import DataError
from benchmark.data.files import Files, Reader
from benchmark.data.listing import commonest, is_leftover, printable, read_text
from benchmark.data.looking import processes
from tasks import TASKS
from tasks.imagenet.official import NUM_CLASSES
from tasks.points_official import parse_table

IMAGENET, KINETICS, AUDIOSET, MODELNET = (layouts_of(TASKS[task])[name] for task, name in (
    ("imagenet", "imagenet1k"), ("kinetics", "kinetics400"), ("audioset", "audioset_20k"), ("modelnet", "ModelNet40")))


@pytest.fixture(autouse=True)
def catalogue(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("M2PT_DATA", str(tmp_path / "catalogue"))
    monkeypatch.setenv("M2PT_WORKERS", "0")
    return tmp_path / "catalogue"


def read_all() -> None:
    for split in TASKS["imagenet"].load("paper").values():
        split.batch(torch.arange(len(split)))


def test_a_file_that_changed_stops_the_reading_by_name(tmp_path):
    prepared = prepare(IMAGENET, make_imagenet(tmp_path / "root"))
    read_all()
    path = prepared.root / "train/n00000001/train_5.JPEG"
    other = (prepared.root / "train/n00000001/train_6.JPEG").read_bytes()
    before, state = path.read_bytes(), path.stat()
    same_size = before[:-2] + bytes([before[-2] ^ 1]) + before[-1:]
    for content in (other, same_size, before + b"\0"):
        path.write_bytes(content)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # as a copy that keeps times leaves it
        with pytest.raises(DataError, match=r"train_5\.JPEG has changed since it was prepared"):
            read_all()
    path.write_bytes(before)  # of another time, and the same
    read_all()
    path.unlink()
    with pytest.raises(DataError, match=r"train_5\.JPEG cannot be read"):
        read_all()


def test_processes_that_read_files_compute_with_one_thread_each():
    """Forked from one whose torch has computed with two, they would else wait for ever for the second."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.ones(10**6).exp()
        with processes(2, "-j") as pool:
            assert {future.result() for future in [pool.submit(torch.get_num_threads) for _ in range(4)]} == {1}
    finally:
        torch.set_num_threads(before)


def test_a_copy_of_the_folder_is_the_same_data(tmp_path):
    prepared = prepare(IMAGENET, make_imagenet(tmp_path / "root"))
    for path in prepared.root.rglob("*.JPEG"):
        os.utime(path)
    read_all()
    assert main(["data", "verify", "imagenet"]) == 0


def test_clips_and_sounds_that_changed_stop_the_reading_too(tmp_path):
    for layout, task, root in ((KINETICS, "kinetics", make_kinetics(tmp_path / "videos", 6)),
                               (AUDIOSET, "audioset", make_audioset(tmp_path / "sounds", 6))):
        prepare(layout, root)
        item = items(find(layout.name), "train")[1]
        path = root / item.path
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        train = TASKS[task].load("paper")["train"]
        with pytest.raises(DataError, match=f"{path.name} has changed"):
            train.batch(torch.tensor([1]))


def test_clouds_that_were_kept_are_not_those_of_files_that_changed(tmp_path):
    root = make_modelnet_meshes(tmp_path / "meshes")
    prepare(MODELNET, root)
    TASKS["modelnet"].load("paper")
    path = root / "bowl/test/bowl_0003.off"
    path.write_text(path.read_text().replace("0.0000", "0.0001", 1))
    with pytest.raises(DataError, match=r"bowl_0003\.off has changed"):
        TASKS["modelnet"].load("paper")


def test_verify_names_what_changed(tmp_path, capsys):
    root = make_imagenet(tmp_path / "root")
    prepare(IMAGENET, root)
    shutil.copy(root / "val/n00000001/val_2.JPEG", root / "val/n00000001/val_3.JPEG")
    shutil.copy(root / "val/n00000001/val_2.JPEG", root / "val/n00000001/val_9.JPEG")
    (root / "train/n00000000/train_3.JPEG").unlink()
    assert main(["data", "verify", "imagenet"]) == 1
    said = capsys.readouterr().out
    assert "changed     val/n00000001/val_3.JPEG" in said
    assert "new         val/n00000001/val_9.JPEG" in said
    assert "gone        train/n00000000/train_3.JPEG" in said
    assert "in another order" not in said


def test_verify_says_where_a_list_is_in_another_order_alone(tmp_path, capsys):
    root = make_audioset(tmp_path / "sounds", 6)
    before = prepare(AUDIOSET, root)
    rows = json.loads((root / "train.json").read_text())["data"]
    (root / "train.json").write_text(json.dumps({"data": rows[::-1]}))
    assert main(["data", "verify", "audioset", "--set", "audioset_20k"]) == 1
    said = "the same samples in another order, as lists or folders have it now"
    assert f"is not that of the catalogue, {before.digest[:12]}\n  {said}\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "__MACOSX", ".git", "._n00000001", "@eaDir", ".Trash-1000"])
def test_folders_of_other_software_are_no_classes(tmp_path, name, capsys):
    root = make_imagenet(tmp_path / "root")
    plain = prepare(IMAGENET, root)
    for split in ("train", "val"):
        shutil.copytree(root / split / "n00000001", root / split / name)
    again = prepare(IMAGENET, root)
    assert (again.classes, again.digest, again.problems) == (plain.classes, plain.digest, [])
    assert any(name in line for line in again.notes), "and it is said"
    meshes = make_modelnet_meshes(tmp_path / "meshes")
    plain = prepare(MODELNET, meshes)
    shutil.copytree(meshes / "bowl", meshes / name)
    again = prepare(MODELNET, meshes)
    assert (again.classes, again.digest) == (plain.classes, plain.digest)
    assert main(["data", "prepare", "imagenet", "--root", str(root)]) == 0
    assert f"train/{name}" in capsys.readouterr().out


def test_files_of_other_software_are_no_samples_in_any_list(tmp_path):
    root = make_imagenet(tmp_path / "root")
    for name in ("._train_3.JPEG", ".DS_Store", "Thumbs.db", "desktop.ini"):
        shutil.copy(root / "train/n00000001/train_2.JPEG", root / "train/n00000001" / name)
    prepared = prepare(IMAGENET, root)
    assert prepared.counts["train"] + prepared.counts["val"] == 36
    assert prepared.faults() == []
    videos = make_kinetics(tmp_path / "videos", 5)
    shutil.copy(videos / "train/abseiling/2.webm", videos / "train/abseiling/._2.webm")
    with (videos / "train.csv").open("a") as file:
        file.write("train/abseiling/._2.webm 0\n__MACOSX/train/2.webm 0\n")
    prepared = prepare(KINETICS, videos)
    assert prepared.counts["train"] + prepared.counts["val"] == 5
    assert prepared.faults() == []
    assert prepared.notes == [
        "train: leftovers of other software, passed over: 2 (train/abseiling/._2.webm, __MACOSX/train/2.webm)"]


def test_leftovers_are_told_from_names():
    assert not any(map(is_leftover, ("a/b.JPEG", "./a", "../a", "n01440764", "a.b", "MACOSX", "...".strip("."), "a/'.JPEG")))
    assert all(map(is_leftover, (".a", "a/.b", "a/._b.JPEG", "__MACOSX/a", "a/THUMBS.DB", "x/$RECYCLE.BIN/y")))


def test_more_classes_than_the_data_set_has_are_refused_and_fewer_noted(tmp_path):
    root = make_imagenet(tmp_path / "root")
    assert prepare(IMAGENET, root).note("test") == f"3 of {NUM_CLASSES:,} classes"
    for label in range(3, NUM_CLASSES + 1):
        for split in ("train", "val"):
            (root / split / f"n{label:08d}").mkdir()
    with pytest.raises(DataError, match=r"has 1,000 classes, and there are 1,001"):
        prepare(IMAGENET, root)


def test_classes_that_one_split_alone_has_are_said_and_left_out_only_where_told(tmp_path, monkeypatch, capsys):
    root = make_imagenet(tmp_path / "root", classes=4)
    for label in (0, 1):
        shutil.rmtree(root / f"val/n0000000{label}")
    (root / "train/n00000002").rename(tmp_path / "elsewhere")
    assert main(["data", "prepare", "imagenet", "--root", str(root)]) == 1
    said = "3 problems of folders and lists (2 x class nN is in train and not in val; 1 others)"
    assert f"{said}; it is trained on only with --allow-missing\n" in capsys.readouterr().out
    with pytest.raises(DataError) as caught:
        find("imagenet1k")
    assert str(caught.value) == (f"imagenet1k: {said}; see which with: benchmark data verify, or train on the rest with "
                                 "--allow-missing")
    assert read("imagenet1k").problems == ["class n00000002 is in val and not in train", *(
        f"class n0000000{label} is in train and not in val" for label in (0, 1))]
    (root / "train/n00000003/train_2.JPEG").write_bytes(b"")
    prepare(IMAGENET, root)
    with pytest.raises(DataError, match=r"imagenet1k: 0 missing and 1 unreadable files .*empty or blank\); 3 problems of f"):
        find("imagenet1k")
    monkeypatch.setenv("M2PT_ALLOW_MISSING", "1")
    notes = {split: examples.note for split, examples in TASKS["imagenet"].load("paper").items()}
    assert notes["test"] == f"{said}; 3 of 1,000 classes", "what the report says of it"
    assert all(said in note for note in notes.values())


def test_meshes_that_a_class_lacks_are_left_out_only_where_told(tmp_path, monkeypatch):
    meshes = make_modelnet_meshes(tmp_path / "meshes", ("bowl", "cone", "cup"))
    for name in ("cone", "cup"):
        shutil.rmtree(meshes / name / "test")
    prepare(MODELNET, meshes)
    said = "2 problems of folders and lists (2 x its class has no mesh in test)"
    with pytest.raises(DataError, match=f"ModelNet40: {re.escape(said)}; see which with: .*--allow-missing"):
        TASKS["modelnet"].load("paper")
    monkeypatch.setenv("M2PT_ALLOW_MISSING", "1")
    assert TASKS["modelnet"].load("paper")["test"].note == f"{said}; 3 of 40 classes"


def test_classes_that_one_list_alone_has_are_left_out_only_where_told(tmp_path, monkeypatch):
    """Of lists of files, too: a class of which no sample is trained on, and one of which none is tested on"""
    videos, texts = make_kinetics(tmp_path / "videos", 5), make_modelnet_texts(tmp_path / "texts")
    for name in ("train.csv", "val.csv"):
        lines = (videos / name).read_text().splitlines()
        moved = f"{lines[-1].rpartition(' ')[0]} {7 if name == 'train.csv' else 8}"
        (videos / name).write_text("\n".join([*lines[:-1], moved]) + "\n")
    prepared = prepare(KINETICS, videos)
    assert prepared.problems == ["class 7 is in train and not in test", "class 8 is in test and not in train"]
    with pytest.raises(DataError, match=f"kinetics400: {re.escape(prepared.odd())}; see which with: .*--allow-missing"):
        find("kinetics400")
    (texts / "modelnet40_test.txt").write_text("\n".join(
        line for line in (texts / "modelnet40_test.txt").read_text().splitlines() if not line.startswith("airplane")) + "\n")
    prepare(MODELNET, texts)
    said = "1 problem of folders and lists (class airplane is in train and not in test)"
    with pytest.raises(DataError, match=f"ModelNet40: {re.escape(said)}; see which with: .*--allow-missing"):
        TASKS["modelnet"].load("paper")
    monkeypatch.setenv("M2PT_ALLOW_MISSING", "1")
    assert TASKS["modelnet"].load("paper")["test"].note == f"{said}; 3 of 40 classes"


def test_numbers_of_classes_are_those_of_the_profiles():
    for task in TASKS.values():
        for layout in layouts_of(task).values():
            if layout.num_classes is not None and not task.name.startswith("modelnet-"):
                assert layout.num_classes == task.profiles["paper"].num_classes, layout.name


def test_what_a_suffix_passes_over_is_counted_and_named(tmp_path):
    root = make_imagenet(tmp_path / "root")
    for number, name in enumerate(("a.txt", "b.npy", "c.JPEG.part", "d.gif", "e")):
        shutil.copy(root / "train/n00000001/train_2.JPEG", root / f"train/n0000000{number % 3}" / name)
    (note,) = prepare(IMAGENET, root).notes
    assert "no pictures by their names, passed over: 5 (" in note
    assert "a.txt" in note
    assert "and 2 more" in note
    meshes = make_modelnet_meshes(tmp_path / "meshes")
    (meshes / "bowl/train/bowl_0001.off").rename(meshes / "bowl/train/bowl_0001.OFF")
    (meshes / "bowl/train/readme.txt").write_text("x")
    prepared = prepare(MODELNET, meshes)
    assert prepared.counts["train"] + prepared.counts["val"] == 6
    assert any("bowl/train/readme.txt" in note for note in prepared.notes)


def interrupt(_prepared) -> dict[str, object]:
    raise KeyboardInterrupt


def test_lists_of_a_preparation_that_was_interrupted_never_stand_under_an_earlier_digest(tmp_path, catalogue):
    root = make_audioset(tmp_path / "sounds", 6)
    before = prepare(AUDIOSET, root)
    for name in ("train.json", "eval.json"):
        data = json.loads((root / name).read_text())["data"]
        (root / name).write_text(json.dumps({"data": [row | {"labels": "/m/0001"} for row in data]}))
    entry = (catalogue / "audioset_20k.json").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        prepare(replace(AUDIOSET, facts=interrupt), root)
    with pytest.raises(DataError, match="audioset_20k is not prepared"):
        find("audioset_20k")
    (catalogue / "audioset_20k.json").write_bytes(entry)  # as another process has it in memory, or a copy has it
    for split in ("train", "val", "test"):
        with pytest.raises(DataError, match=rf"{split}\.tsv is not the list that belongs to audioset_20k\.json; prepare"):
            items(find("audioset_20k"), split)
    again = prepare(AUDIOSET, root)
    assert find("audioset_20k").digest == again.digest != before.digest
    assert {item.label for item in items(again, "train")} == {"1"}


def test_an_entry_of_an_earlier_release_is_read(tmp_path, catalogue):
    prepared = prepare(IMAGENET, make_imagenet(tmp_path / "root"))
    path = catalogue / "imagenet1k.json"
    data = json.loads(path.read_text())
    del data["lists"], data["prefix"], data["repeated"]
    path.write_text(json.dumps(data))
    assert find("imagenet1k") == replace(prepared, lists={})
    assert len(items(find("imagenet1k"), "train")) == prepared.counts["train"]
    assert main(["data", "verify", "imagenet"]) == 0


def test_a_folder_that_is_none_leaves_no_catalogue_and_an_earlier_one_as_it_was(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        prepare(IMAGENET, tmp_path / "nowhere")
    assert not (tmp_path / "catalogue").exists()
    prepare(IMAGENET, make_imagenet(tmp_path / "root"))
    before = {path.name: path.read_bytes() for path in (tmp_path / "catalogue").iterdir()}
    with pytest.raises(DataError, match="is no folder"):
        prepare(IMAGENET, tmp_path / "nowhere")
    assert {path.name: path.read_bytes() for path in (tmp_path / "catalogue").iterdir()} == before


def read_too_early(_root) -> object:
    raise AssertionError("files are looked for before it is known that what is found can be kept")


@pytest.mark.parametrize("place", ["file", "file/catalogue", "/proc/catalogue"])
def test_a_catalogue_that_cannot_be_written_is_told_before_anything_is_read(tmp_path, monkeypatch, capsys, place):
    (tmp_path / "file").write_text("kept")
    monkeypatch.setenv("M2PT_DATA", str(tmp_path / place))
    with pytest.raises(DataError, match=r"folder .* cannot be written to \(.*\); name another with .* M2PT_DATA"):
        prepare(replace(IMAGENET, enumerate_files=read_too_early), tmp_path)
    assert main(["data", "prepare", "imagenet", "--root", str(make_imagenet(tmp_path / "root"))]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert (tmp_path / "file").read_text() == "kept"


def look_oddly(path: Path) -> None:
    """As a library that was not made for such a file"""
    if path.name == "train_5.JPEG":
        raise AttributeError("'NoneType' object has no attribute 'size'")
    if path.name == "train_7.JPEG":
        raise OSError


def look_and_die(path: Path) -> None:
    """As a process whose memory the system needs"""
    if path.name == "train_5.JPEG":
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_no_reader_expects_of_a_file_is_its_fault_and_the_others_are_looked_at(tmp_path):
    prepared = prepare(replace(IMAGENET, look=look_oddly), make_imagenet(tmp_path / "root"))
    names = [f"train/n0000000{label}/train_{number}.JPEG" for number in (5, 7) for label in range(3)]
    whole = prepare(IMAGENET, tmp_path / "root")
    lost = [line for line in prepared.faults() if "train_" in line]
    assert sum(prepared.counts.values()) + len(lost) == sum(whole.counts.values())
    assert {line.partition(": ")[0] for line in lost} <= set(names)
    assert {line.partition(": ")[2] for line in lost} == {"AttributeError: 'NoneType' object has no attribute 'size'",
                                                          "OSError:"}


def test_a_killed_process_is_told_with_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmark.data.datasets.layouts_of", lambda task: {"imagenet1k": replace(IMAGENET, look=look_and_die)})
    assert main(["data", "prepare", "imagenet", "--root", str(make_imagenet(tmp_path / "root")), "-j", "2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"a process that reads files was killed, .*use fewer of them.*\(-j, now 2\)", line)


NAMES = ("two\nlines.JPEG", "cr\r.JPEG", "tab\there.JPEG", 'quote".JPEG', "'.JPEG", "\u2028sep.JPEG", "a\\nb.JPEG",
         "back\\.JPEG", "caf\udce9.JPEG", " lead.JPEG", "trail .JPEG", "x\x85y.JPEG", "#1.JPEG", "emoji\U0001f600.JPEG")


def test_what_prepare_writes_it_can_read_whatever_the_names(tmp_path, capsys, monkeypatch):
    root = make_imagenet(tmp_path / "root")
    content = (root / "train/n00000001/train_2.JPEG").read_bytes()
    for name in NAMES:
        (root / "train/n00000001" / name).write_bytes(content)
    (root / "train/n00000001/caf\udce9 cut.JPEG").write_bytes(content[:300])
    (root / "train/caf\udce9\n").mkdir()
    assert main(["data", "prepare", "imagenet", "--root", str(root)]) == 1
    said = capsys.readouterr().out
    assert r"caf\xe9 cut.JPEG" in said
    monkeypatch.setenv("M2PT_ALLOW_MISSING", "1")
    read_all()
    found = [item.path for split in ("train", "val") for item in items(find("imagenet1k"), split)]
    assert {f"train/n00000001/{name}" for name in NAMES} <= set(found)


@pytest.mark.parametrize("path", NAMES)
def test_a_path_fits_into_one_field_of_one_line(path):
    assert unescape(escape(path)) == path
    assert not set(escape(path)) & set("\t\n\r")
    assert printable(path).isprintable()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_of_byte_order_are_no_text(tmp_path, encoding):
    (tmp_path / "list").write_bytes("é a 0\n".encode(encoding))
    assert read_text(tmp_path / "list") == "é a 0\n"
    (tmp_path / "list").write_bytes(b"caf\xe9 0\n")
    assert os.fsencode(read_text(tmp_path / "list")) == b"caf\xe9 0\n"


def test_lists_with_marks_and_windows_ends_are_read_as_without(tmp_path):
    videos = make_kinetics(tmp_path / "videos", 5)
    expected = prepare(KINETICS, videos).digest
    text = (videos / "train.csv").read_text()
    for encoding in ("utf-8-sig", "utf-16"):
        (videos / "train.csv").write_bytes(text.replace("\n", "\r\n").encode(encoding))
        assert prepare(KINETICS, videos).digest == expected
    root = make_modelnet_texts(tmp_path / "texts", train=3, test=2)
    expected = prepare(MODELNET, root).digest
    for name in ("modelnet40_train.txt", "modelnet40_test.txt", "modelnet40_shape_names.txt"):
        (root / name).write_bytes((root / name).read_text().replace("\n", "\r\n").encode("utf-8-sig"))
    assert prepare(MODELNET, root).digest == expected
    cloud = root / "airplane/airplane_0001.txt"
    cloud.write_bytes(b"\xef\xbb\xbf" + cloud.read_bytes())
    assert prepare(MODELNET, root).faults() == []


def test_lists_of_another_machine_are_read_without_their_prefix(tmp_path):
    videos = make_kinetics(tmp_path / "videos", 5)
    plain = prepare(KINETICS, videos)
    for name in ("train.csv", "val.csv"):
        lines = (videos / name).read_text().replace(str(videos) + "/", "").splitlines()
        (videos / name).write_text("".join(
            f'"/their disk/k400/{line[1:]}\n' if line[0] == '"' else f"/their disk/k400/{line}\n" for line in lines))
    with pytest.raises(DataError, match="prepare with --strip-prefix"):
        prepare(KINETICS, videos)
    assert main(["data", "prepare", "kinetics", "--root", str(videos), "--strip-prefix", "/their disk/k400"]) == 0
    assert main(["data", "verify", "kinetics"]) == 0, "which strips what was stripped"
    for prefix in ("/their disk/k400", "/their disk/k400/"):
        assert prepare(KINETICS, videos, prefix=prefix).digest == plain.digest, "the same split, too"
    with pytest.raises(DataError, match="--strip-prefix"):
        prepare(KINETICS, videos, prefix="/their disk/k4")


def test_lists_of_windows_are_read_with_and_without_their_prefix(tmp_path):
    videos = make_kinetics(tmp_path / "videos", 5)
    plain = prepare(KINETICS, videos)
    for name in ("train.csv", "val.csv"):
        text = (videos / name).read_text().replace(str(videos) + "/", "")
        (videos / name).write_text(text.replace("/", "\\"))
    assert prepare(KINETICS, videos).digest == plain.digest
    for name in ("train.csv", "val.csv"):
        lines = (videos / name).read_text().splitlines()
        (videos / name).write_text("".join(
            f'"D:\\k400\\{line[1:]}\n' if line[0] == '"' else f"D:\\k400\\{line}\n" for line in lines))
    with pytest.raises(DataError, match="--strip-prefix"):
        prepare(KINETICS, videos)
    for prefix in ("D:\\k400", "D:\\k400\\", "D:/k400"):
        assert prepare(KINETICS, videos, prefix=prefix).digest == plain.digest


def test_a_backslash_in_the_name_of_a_file_parts_nothing(tmp_path):
    videos = make_kinetics(tmp_path / "videos", 5)
    (videos / "train/abseiling/2.webm").rename(videos / "a\\b.webm")
    text = (videos / "train.csv").read_text().replace("train/abseiling/2.webm", "a\\b.webm")
    (videos / "train.csv").write_text(text)
    assert prepare(KINETICS, videos).faults() == []


def test_what_is_no_file_is_called_what_it_is(tmp_path):
    videos = make_kinetics(tmp_path / "videos", 5)
    names = ("train/abseiling/2.webm", "train/riding a bike/1.mp4", "train/riding a bike/3.mp4")
    link, folder, pipe = (videos / name for name in names)
    for path in (link, folder, pipe):
        path.unlink()
    link.symlink_to("moved away.webm")
    folder.mkdir()
    os.mkfifo(pipe)
    assert sorted(prepare(KINETICS, videos).faults()) == [
        f"{names[0]}: is a link to moved away.webm, which is not there; put the file itself in its place",
        f"{names[1]}: is a folder and no file; remove it, or correct the list",
        f"{names[2]}: is a device or a pipe and no file; remove it, or correct the list"]


@pytest.mark.parametrize("change", [str.upper, lambda name: unicodedata.normalize("NFD", name)], ids=("case", "NFD"))
def test_a_name_that_is_spelled_in_other_letters_is_named(tmp_path, change):
    videos = make_kinetics(tmp_path / "videos", 5)
    (videos / "train/abseiling/2.webm").rename(videos / "train/abseiling" / change("größeé.webm"))
    text = (videos / "train.csv").read_text().replace("train/abseiling/2.webm", "train/abseiling/größeé.webm")
    (videos / "train.csv").write_text(text)
    (fault,) = prepare(KINETICS, videos).faults()
    assert "is not there, and" in fault
    assert "is spelled in other letters; rename it or correct the list" in fault


def test_test_files_with_the_content_of_training_files_are_noted(tmp_path):
    root = make_imagenet(tmp_path / "root")
    assert not any("whose content" in note for note in prepare(IMAGENET, root).notes)
    shutil.copy(root / "train/n00000001/train_4.JPEG", root / "val/n00000001/val_3.JPEG")
    prepared = prepare(IMAGENET, root)
    assert "test: files whose content is in train or val, too: 1 (val/n00000001/val_3.JPEG)" in prepared.notes
    assert prepared.faults() == []
    assert find("imagenet1k").note("test") == "1 of 12 test files are in train or val, too; 3 of 1,000 classes"
    assert find("imagenet1k").note("val") == "3 of 1,000 classes"
    held, trained = (items(prepared, split)[0].path for split in ("val", "train"))
    for name in (held, "val/n00000001/val_2.JPEG"):
        shutil.copy(root / trained, root / name)
    prepare(IMAGENET, root)
    notes = {split: examples.note.partition(";")[0] for split, examples in TASKS["imagenet"].load("paper").items()}
    assert notes == {"train": "3 of 1,000 classes", "val": f"1 of {prepared.counts['val']} val files are in train, too",
                     "test": "2 of 12 test files are in train or val, too"}


def test_links_to_folders_below_a_class_are_said_and_read_where_asked(tmp_path):
    root = make_imagenet(tmp_path / "root")
    plain = sum(prepare(IMAGENET, root).counts.values())
    (tmp_path / "more").mkdir()
    (root / "train/n00000001/train_5.JPEG").rename(tmp_path / "more/train_5.JPEG")
    (root / "train/n00000001/more").symlink_to(tmp_path / "more")
    prepared = prepare(IMAGENET, root)
    assert sum(prepared.counts.values()) == plain - 1
    assert any("--follow-links reads, passed over: 1 (train/n00000001/more)" in note for note in prepared.notes)
    prepared = prepare(IMAGENET, root, links=True)
    assert (sum(prepared.counts.values()), prepared.faults()) == (plain, [])


def test_links_lead_out_of_the_folder_only_where_asked(tmp_path):
    root = make_imagenet(tmp_path / "root")
    expected = prepare(IMAGENET, root).digest
    (root / "train").rename(tmp_path / "disk 2")
    (root / "train").symlink_to(tmp_path / "disk 2")
    with pytest.raises(DataError, match="--follow-links"):
        prepare(IMAGENET, root)
    assert main(["data", "prepare", "imagenet", "--root", str(root), "--follow-links"]) == 0
    assert find("imagenet1k").digest == expected
    read_all()
    assert main(["data", "verify", "imagenet"]) == 0


def test_exact_repeats_of_a_list_are_dropped_with_a_note_and_others_named(tmp_path):
    videos = make_kinetics(tmp_path / "videos", 5)
    plain = prepare(KINETICS, videos)
    first = (videos / "train.csv").read_text().splitlines()[0]
    with (videos / "train.csv").open("a") as file:
        file.write(f"{first}\n{first}\n")
    prepared = prepare(KINETICS, videos)
    assert (prepared.digest, prepared.faults(), prepared.lost("train")) == (plain.digest, [], "")
    (note,) = [line for line in prepared.notes if line not in plain.notes]
    assert "lines that repeat another, passed over: 2 (train/" in note
    with (videos / "train.csv").open("a") as file:
        file.write(f"{first.rpartition(' ')[0]} 3\n{first.rpartition(' ')[0]} 4\n")
    prepared = prepare(KINETICS, videos)
    path = first.rpartition(" ")[0].strip('"')
    assert prepared.faults() == [f"{path}: listed twice, with other labels"]
    assert all(path != item.path for split in ("train", "val") for item in items(prepared, split)), "nor by its first label"
    assert prepared.counts["train"] + prepared.counts["val"] == 4


def test_what_is_missing_is_counted_with_its_reason(tmp_path, monkeypatch, capsys):
    root = make_imagenet(tmp_path / "root")
    (root / "train/n00000001/train_3.JPEG").write_bytes(b"")
    prepare(IMAGENET, root)
    with pytest.raises(DataError, match=r"0 missing and 1 unreadable files of \d+: .*train_3\.JPEG: picture .* cannot be read"):
        find("imagenet1k")
    for number in range(4, 9):
        path = root / f"train/n00000001/train_{number}.JPEG"
        path.write_bytes(path.read_bytes()[:-200])
    assert main(["data", "prepare", "imagenet", "--root", str(root)]) == 1
    assert re.search(r"6 faults: 5 x .*truncated.*; 1 x ", capsys.readouterr().out)
    monkeypatch.setenv("M2PT_ALLOW_MISSING", "1")
    notes = {split: examples.note for split, examples in TASKS["imagenet"].load("paper").items()}
    prepared = find("imagenet1k")
    for split in ("train", "val", "test"):
        lost = len(prepared.unreadable.get(split, ()))
        whole = prepared.counts[split] + lost
        assert (f"0 missing and {lost} unreadable files of {whole}:" in notes[split]) == (lost > 0)
    assert sum(map(len, prepared.unreadable.values())) == 6


def test_an_empty_validation_split_is_refused_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    root = make_imagenet(tmp_path / "root")
    for item in items(prepare(IMAGENET, root), "val"):
        (root / item.path).write_bytes(b"")
    prepare(IMAGENET, root)
    monkeypatch.setenv("M2PT_ALLOW_MISSING", "0")
    assert main(["run", "--profile", "paper", "-t", "imagenet", "--arm", "scratch", "--allow-missing",
                 "--results", str(tmp_path / "results")]) == 2
    said = capsys.readouterr().err
    assert not (tmp_path / "results" / "runs").exists()
    assert "no file of val can be used" in said
    assert "it is empty or blank" in said


def test_one_fault_is_told_whole_and_many_by_their_kinds():
    assert commonest([]) == ""
    assert commonest(["a/b.JPEG: picture a/b.JPEG is cut"]) == "a/b.JPEG: picture a/b.JPEG is cut"
    lines = [f"a/{k}.JPEG: picture a/{k}.JPEG is cut at {k}" for k in range(5)]
    lines += ["x: missing", "y: missing", "z: odd", "w: new"]
    assert commonest(lines, 2) == "5 x picture it is cut at N; 2 x missing; 2 others"


def test_a_file_of_many_labels_fits_into_a_line(tmp_path, catalogue):
    """As one of 50,000 clouds has them; more than a reader of CSV takes for one field"""
    prepared = prepare(IMAGENET, make_imagenet(tmp_path / "root"))
    path = catalogue / "imagenet1k.test.tsv"
    label = ",".join(str(number % 40) for number in range(50_000))
    first, *rest = path.read_text().splitlines()
    fields = first.split("\t")
    path.write_text("\n".join(["\t".join([fields[0], label, *fields[2:]]), *rest, ""]))
    assert items(replace(prepared, lists={}), "test")[0].label == label


@pytest.mark.parametrize("change", [
    lambda line: line.replace(",", " "), lambda line: line.replace(",", ", "), lambda line: line + ",",
    lambda line: f"  {line}  "], ids=("blanks", "blanks after commas", "a comma at the end", "blanks around"))
def test_tables_of_points_may_be_spaced_otherwise(tmp_path, change):
    root = make_modelnet_texts(tmp_path / "texts", train=3, test=2)
    path = root / "airplane/airplane_0001.txt"
    plain, lines = parse_table(path.read_bytes(), path, 6, ","), path.read_text().splitlines()
    for end in ("\n", "\r\n"):
        path.write_bytes(end.join(map(change, lines)).encode())
        assert (parse_table(path.read_bytes(), path, 6, ",") == plain).all()
    assert prepare(MODELNET, root).faults() == []


# Processes that read

class Slow(Reader):
    """Gives one number, after a while in a worker process"""

    def read(self, path, random):
        if torch.utils.data.get_worker_info() is not None:
            time.sleep(60)
        return {"input": torch.zeros(2**18)}


def reading(tmp_path, reader: Reader) -> Files:
    prepared = prepare(IMAGENET, make_imagenet(tmp_path / "root"))
    return Files(prepared, items(prepared, "test"), {}, reader)


def test_a_worker_that_gives_nothing_ends_the_run_by_name(tmp_path, monkeypatch):
    files = reading(tmp_path, Slow())
    monkeypatch.setenv("M2PT_WORKERS", "1")
    monkeypatch.setenv("M2PT_READ_SECONDS", "1")
    with pytest.raises(DataError, match=r"timed out after 1 sec.*M2PT_WORKERS=0.*--shm-size"):
        list(files.stream([torch.arange(2), torch.arange(2)]))


def test_shared_memory_is_looked_at_before_workers_start(tmp_path, monkeypatch):
    files = reading(tmp_path, Slow())
    monkeypatch.setenv("M2PT_WORKERS", "2")
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=12 * 2**20))
    chosen = [torch.arange(12)] * 3
    with pytest.raises(DataError, match=r"2 processes .* need 60 MiB.*12 free.*--shm-size=1g.*M2PT_WORKERS to 0"):
        list(files.stream(chosen))
    monkeypatch.setenv("M2PT_READ_SECONDS", "1")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=61 * 2**20))
    with pytest.raises(DataError, match="timed out"):  # enough: they start
        list(files.stream(chosen))
    for name in ("M2PT_WORKERS", "M2PT_READ_SECONDS"):
        monkeypatch.setenv(name, "many")
        with pytest.raises(DataError, match=f"{name}='many': expected a whole number"):
            list(files.stream(chosen))
        monkeypatch.setenv(name, "1")
