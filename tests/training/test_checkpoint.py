"""Checkpoints: bit for bit there and back, and no damage goes unseen."""

import hashlib
import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

from metarl_jax.checkpoint import folder as checkpoint_folder
from metarl_jax.checkpoint import storage
from metarl_jax.checkpoint.checkpoint import CheckpointError, SaveError, restore, save
from metarl_jax.checkpoint.folder import set_aside_newer, steps
from metarl_jax.trees import digest, leaves_by_path, structure
from support.comparisons import assert_same
from support.full_disk import largest_file


class Node(struct.PyTreeNode):
    """A part of a state, as train states have them."""

    weights: jax.Array
    key: jax.Array


def make_state(seed=0):
    """Every kind of leaf that a train state may hold."""
    noise = np.random.default_rng(seed)
    weights = {"a.b/c": jnp.asarray(noise.normal(size=(100, 200)), jnp.float32)}
    return {
        "node": Node(jnp.asarray(noise.normal(size=(2, 3)), jnp.float32), jax.random.key(seed)),
        "keys": jax.random.split(jax.random.key(seed + 1, impl="rbg"), 3),
        "optimizer": optax.adam(1e-3).init(weights),
        "weights": weights,
        "special": jnp.array([jnp.nan, -0.0, jnp.inf, 1e-45], jnp.float32),
        "half": jnp.asarray(noise.normal(size=5), jnp.bfloat16),
        "empty": jnp.zeros((0, 3), jnp.int32),
        "flag": jnp.asarray(True),
        "count": jnp.asarray(seed, jnp.int32),
        "nothing": ((), None),
    }


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints, 4 and 8."""
    folder = tmp_path / "checkpoints"
    for step in (4, 8):
        save(folder, step, make_state(step), {"env_steps": 100 * step})
    return folder


def flip(path, bit):
    """Flips one bit of a file."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(bytes(data))


def biggest(folder):
    """The biggest file below a folder."""
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


@pytest.mark.parametrize("concrete", [True, False])
def test_round_trip_is_bit_exact(folder, concrete):
    state = make_state(8)
    template = make_state(1) if concrete else jax.eval_shape(make_state)
    restored = restore(folder, template)
    assert_same(restored.state, state)
    assert digest(restored.state) == digest(state)
    assert (restored.step, restored.metadata) == (8, {"env_steps": 800})
    assert restored.passed_over == ()
    key = restored.state["node"].key
    assert jax.random.key_impl(key) == jax.random.key_impl(state["node"].key)


def test_restored_state_can_be_donated_and_keeps_its_values(folder):
    restored = restore(folder, jax.eval_shape(make_state)).state
    update = jax.jit(lambda s: jax.tree.map(lambda x: x, s), donate_argnums=0)
    assert_same(update(restored), make_state(8))


def test_an_explicit_step(folder):
    assert_same(restore(folder, make_state(), 4).state, make_state(4))
    with pytest.raises(CheckpointError, match=r"checkpoint 6 .*not there.*\[8, 4\]"):
        restore(folder, make_state(), 6)


def test_every_flipped_bit_of_an_array_is_found(folder):
    file = biggest(folder / "8" / "state")  # nine tenths of it are one array
    middle = range(2 * file.stat().st_size, 6 * file.stat().st_size)
    for bit in np.random.default_rng(0).choice(middle, size=20):
        flip(file, int(bit))
        restored = restore(folder, make_state())
        assert restored.step == 4, f"bit {bit}"
        assert restored.passed_over[0].startswith("8: ")
        flip(file, int(bit))
    assert restore(folder, make_state()).step == 8


def test_every_flipped_bit_of_the_manifest_is_found(folder):
    file = folder / "8" / "manifest" / "metadata"
    for bit in np.random.default_rng(0).integers(8 * file.stat().st_size, size=20):
        flip(file, int(bit))
        restored = restore(folder, make_state())
        assert restored.step == 4, f"bit {bit}"
        assert restored.passed_over[0].startswith("8: its manifest")
        flip(file, int(bit))
    assert restore(folder, make_state()).step == 8


def test_no_flipped_bit_anywhere_gives_wrong_values(folder):
    noise = np.random.default_rng(0)
    files = sorted(p for p in (folder / "8").rglob("*") if p.is_file() and p.stat().st_size)
    for file in files:
        bit = int(noise.integers(8 * file.stat().st_size))
        flip(file, bit)
        restored = restore(folder, make_state())
        assert digest(restored.state) == digest(make_state(restored.step)), file
        flip(file, bit)


def _truncate(folder):
    file = biggest(folder / "8" / "state")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _rewrite_shape(folder):
    file = folder / "8" / "manifest" / "metadata"
    manifest = json.loads(file.read_text())
    manifest["leaves"]["['flag']"]["shape"] = [2]
    file.write_text(json.dumps(manifest))


def _swap_arrays(folder):
    shutil.rmtree(folder / "8" / "state")
    shutil.copytree(folder / "4" / "state", folder / "8" / "state")


def _sign(folder, **changes):
    """What a stranger can do too."""
    file = folder / "8" / "manifest" / "metadata"
    body = json.loads(file.read_text()) | changes
    del body["sha256"]
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    file.write_text(json.dumps(body | {"sha256": digest}))


DAMAGES = {
    "truncated array": (_truncate, "8: its arrays cannot be read"),
    "no array file": (lambda f: biggest(f / "8" / "state").unlink(), "8: its arrays"),
    "no arrays": (lambda f: shutil.rmtree(f / "8" / "state"), "8: its arrays"),
    "arrays of another step": (_swap_arrays, "8: the values of"),
    "no manifest": (lambda f: shutil.rmtree(f / "8" / "manifest"), "8: it has no manifest"),
    "an empty manifest": (lambda f: (f / "8/manifest/metadata").write_text(""), "8: its manifest"),
    "a manifest changed": (_rewrite_shape, "8: its manifest does not match"),
    "a manifest without leaves": (lambda f: _sign(f, leaves=None), "8: its manifest is none"),
    "a manifest of other leaves": (lambda f: _sign(f, leaves={"w": 1}), "8: its manifest is none"),
    "a manifest without a step": (lambda f: _sign(f, step="8"), "8: its manifest is none"),
    "another step renamed": (lambda f: (f / "8").rename(f / "16"), "16: it was saved as 8"),
    "an empty folder": (lambda f: (f / "12").mkdir(), "12: it has no manifest"),
    "a file with a step's name": (lambda f: (f / "12").write_text("x"), "12: no checkpoint"),
    "a foreign folder": (lambda f: (f / "notes").mkdir(), "notes: no checkpoint"),
    "an unfinished save": (
        lambda f: shutil.copytree(f / "8", f / "12.orbax-checkpoint-tmp-0"),
        "12.orbax-checkpoint-tmp-0: no checkpoint",
    ),
    "a name that is no number": (lambda f: (f / "0012").mkdir(), "0012: no checkpoint"),
}
STILL_WHOLE = ("an empty folder", "a file with a step's name", "a foreign folder")
STILL_WHOLE += ("an unfinished save", "a name that is no number")


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_passed_over_and_told(folder, name):
    damage, told = DAMAGES[name]
    damage(folder)
    restored = restore(folder, make_state())
    assert restored.step == (8 if name in STILL_WHOLE else 4)
    assert_same(restored.state, make_state(restored.step))
    assert len(restored.passed_over) == 1
    assert restored.passed_over[0].startswith(told)


@pytest.mark.parametrize("name", [name for name in DAMAGES if name not in STILL_WHOLE])
def test_an_explicit_step_never_falls_back(folder, name):
    DAMAGES[name][0](folder)
    with pytest.raises(CheckpointError, match="expected a whole checkpoint 8 .*, got none: "):
        restore(folder, make_state(), 8)


def test_nothing_whole_is_an_error_that_tells_all(folder, tmp_path):
    _truncate(folder)
    shutil.rmtree(folder / "4" / "manifest")
    with pytest.raises(CheckpointError, match=r"8: its arrays .*; 4: it has no manifest"):
        restore(folder, make_state())
    with pytest.raises(CheckpointError, match="empty or not there"):
        restore(tmp_path / "nowhere", make_state())


def changed(**changes):
    return make_state() | changes


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (changed(count=jnp.zeros((), jnp.float32)), r"\['count'\] expected float32\[\], got int32"),
        (
            changed(half=jnp.zeros(6, jnp.bfloat16)),
            r"\['half'\] expected bfloat16\[6\], got .*\[5\]",
        ),
        (changed(more=jnp.zeros(1)), r"\['more'\] expected float32\[1\], got no such leaf"),
        (changed(flag=None), r"\['flag'\] expected no such leaf, got bool\[\]"),
        (
            changed(node=Node(jnp.zeros((2, 3)), jax.random.key(0, impl="rbg"))),
            r"=threefry2x32: at \['node'\].key expected key<rbg>\[4\], got key<fry>\[2\]; set",
        ),
    ],
)
def test_another_architecture_is_refused_by_its_first_leaf(folder, template, told):
    with pytest.raises(CheckpointError, match=told):
        restore(folder, template)


def test_every_leaf_is_held_to_its_shape_and_its_dtype(folder):
    template = jax.eval_shape(make_state)
    leaves, tree = jax.tree.flatten(template)
    for i, (path, leaf) in enumerate(leaves_by_path(template).items()):
        for shape, dtype in (((*leaf.shape, 1), leaf.dtype), (leaf.shape, jnp.int8)):
            other = [*leaves[:i], jax.ShapeDtypeStruct(shape, dtype), *leaves[i + 1 :]]
            with pytest.raises(CheckpointError, match=f"at {re.escape(path)} expected"):
                restore(folder, tree.unflatten(other))


def test_one_of_another_format_is_refused(folder):
    _sign(folder, format=2)
    with pytest.raises(CheckpointError, match="of format 1, got format 2; read it with"):
        restore(folder, make_state())


def test_the_newest_stay_and_what_is_not_ours_is_not_deleted(folder):
    (folder / "2").mkdir()
    (folder / "20").mkdir()
    save(folder, 12, make_state(12), {}, keep=2)
    assert steps(folder) == [20, 12, 8, 2]
    assert_same(restore(folder, make_state(), 8).state, make_state(8))


def test_a_save_sets_aside_what_bears_its_name_and_clears_what_was_left(folder):
    (folder / "12").mkdir()
    (folder / "12" / "mine").write_text("x")
    shutil.copytree(folder / "8", folder / "16.orbax-checkpoint-tmp-0")
    save(folder, 12, make_state(12), {})
    assert (folder / "12.set-aside-0" / "mine").read_text() == "x"
    assert not (folder / "16.orbax-checkpoint-tmp-0").exists()
    assert restore(folder, make_state()).passed_over == ()


def test_an_old_one_that_cannot_be_deleted_fails_no_save(folder, monkeypatch):
    """Somebody reads it, on a file system that then keeps it; it goes with the next save."""
    begun, rmtree = folder / "4.orbax-checkpoint-tmp-old", shutil.rmtree

    def busy(place, ignore_errors=False):
        if not ignore_errors:
            raise OSError(39, "Directory not empty")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_folder.shutil, "rmtree", busy)
        save(folder, 12, make_state(12), {}, keep=2)
        assert (steps(folder), begun.is_dir()) == ([12, 8], True)
        patch.setattr(type(folder), "rename", lambda *names: rmtree("nowhere"))
        checkpoint_folder.retain(folder, 1)
        assert steps(folder) == [12, 8]
    save(folder, 16, make_state(16), {}, keep=2)
    assert (steps(folder), begun.exists()) == ([16, 12], False)


def test_newer_steps_are_set_aside(folder):
    assert set_aside_newer(folder, 4) == ["8.set-aside-0"]
    save(folder, 8, make_state(9), {})
    assert set_aside_newer(folder, 4) == ["8.set-aside-1"]
    assert_same(restore(folder, make_state()).state, make_state(4))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of its threads
@pytest.mark.parametrize("num_bytes", [100, 30_000])
def test_a_full_disk_is_told_once_and_leaves_the_others_whole(folder, num_bytes, caplog):
    with (
        largest_file(num_bytes),
        pytest.raises(SaveError, match="checkpoint 12 could not be written"),
    ):
        save(folder, 12, make_state(12), {})
    assert not caplog.records
    assert sorted(p.name for p in folder.iterdir()) == ["4", "8"]
    assert_same(restore(folder, make_state()).state, make_state(8))
    save(folder, 12, make_state(12), {})
    assert_same(restore(folder, make_state()).state, make_state(12))


SPOILT = {
    "an array that changed on its way": lambda step: flip(biggest(step / "state"), 100_000),
    "an array that never came": lambda step: biggest(step / "state").unlink(),
    "a manifest that changed": lambda step: flip(step / "manifest" / "metadata", 200),
    "nothing at all": shutil.rmtree,
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_save_that_cannot_be_read_back_is_none(folder, name, monkeypatch):
    """Whatever the library said of it."""
    write = storage.write

    def write_and_spoil(folder, step, *given):
        write(folder, step, *given)
        SPOILT[name](folder / str(step))

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write", write_and_spoil)
        with pytest.raises(SaveError, match="checkpoint 12 .* cannot be read back: "):
            save(folder, 12, make_state(12), {}, keep=1)
    assert sorted(p.name for p in folder.iterdir()) == ["4", "8"]
    save(folder, 12, make_state(12), {})
    assert restore(folder, make_state()).step == 12


def test_a_digest_tells_states_apart():
    state = make_state()
    assert digest(state) == digest(make_state())
    others = [
        state | {"special": state["special"].at[1].set(0.0)},  # 0 and -0 are equal but not the same
        state | {"node": state["node"].replace(key=jax.random.key(7))},
        state | {"flag": jnp.asarray(1, jnp.uint8)},
        {("special_" if k == "special" else k): v for k, v in state.items()},
    ]
    assert len({digest(other) for other in [state, *others]}) == 5


def test_structure_reads_shapes_alone():
    assert structure(jax.eval_shape(make_state)) == structure(make_state())
    assert structure(make_state())["['node'].weights"] == "float32[2, 3]"
