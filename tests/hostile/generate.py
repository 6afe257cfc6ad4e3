"""Write the corpus of malformed and odd checkpoints.

    python tests/hostile/generate.py          rewrite corpus.json beside this file
    python tests/hostile/generate.py DIR      lay the cases out as real files under DIR, with DIR/manifest.json
    python tests/hostile/generate.py --seeds DIR   write what the fuzz targets start from, DIR/header, DIR/index and DIR/journal

Each case says by itself whether soce takes it ("ok" or "error"), a part of what soce says, and for headers whether the
reference parser takes it. The full texts are in expected.json, which the Rust tests write when SOCE_BLESS is set.
Standard library only; the same bytes on every run.
"""

import json
import os
import socket
import struct
import sys
from pathlib import Path

HERE = Path(__file__).parent
DTYPES = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
TOP = 2**64

headers: list[dict] = []
indexes: list[dict] = []
directories: list[dict] = []


# --- bytes, told as [text in latin-1, times] so that large files stay small here -------------------------------------


def run(*parts):
    """Join parts: bytes, str (UTF-8), or (part, times)."""
    out = []
    for part in parts:
        part, times = part if isinstance(part, tuple) else (part, 1)
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        if not data or not times:
            continue
        if times == 1 and out and out[-1][1] == 1:
            out[-1][0] += data
        else:
            out.append([data, times])
    return out


def size(parts):
    return sum(len(data) * times for data, times in parts)


def whole(parts):
    return b"".join(data * times for data, times in parts)


def shard(*header, data=0, length=None):
    """A safetensors file: length field, header, `data` zero bytes."""
    header = run(*header)
    field = struct.pack("<Q", size(header) if length is None else length)
    return run(field, *map(tuple, header), (b"\0", data))


def tensor(dtype="F32", shape="[1]", offsets="[0,4]", extra=""):
    return f'{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}{extra}}}'


# --- cases ------------------------------------------------------------------------------------------------------------


def header(name, file, says=None, reference=None):
    """A header case; `says` is None if soce takes it, `reference` defaults to the same verdict."""
    takes = says is None if reference is None else reference
    headers.append({"name": name, "file": file, "says": says, "reference": takes})


def index(name, file, says=None):
    indexes.append({"name": name, "file": file if isinstance(file, list) else run(file), "says": says})


def directory(name, entries, says=None, *, path="m", warns=0, **options):
    directories.append(
        {"name": name, "entries": entries, "open": path, "options": options, "says": says, "warns": warns}
    )


def header_cases():
    a = tensor()
    good = f'{{"a":{a}}}'
    two = f'{{"a":{a},"b":{tensor(offsets="[4,8]")}}}'

    # Too short, too long, something else altogether
    for n in range(8):
        header(f"file_of_{n}_bytes", run((b"\x01", n)), f"expected at least 8 bytes, got {n}")
    for name, data in {
        "braces": b"{}",
        "newline": b"\n",
        "zeros": bytes(7),
        "gguf": b"GGUF",
        "zip": b"PK\x03\x04",
    }.items():
        header(f"file_of_{name}", run(data), f"expected at least 8 bytes, got {len(data)}")
    header("only_a_length", run(struct.pack("<Q", 50)), "expected a header of 50 bytes")
    for name, length in {
        "100000001": 100_000_001, "max": TOP - 1, "2_pow_63": 2**63, "big_endian": 49 << 56, "minus_2": TOP - 2,
    }.items():  # fmt: skip
        header(
            f"length_{name}",
            shard(good, data=4, length=length),
            "expected a header of at most 100000000 bytes",
        )
    for name, length in {"one_over": len(good) + 5, "100000000": 100_000_000}.items():
        header(f"length_{name}_beyond_the_end", shard(good, data=4, length=length), "expected a header of")
    for cut in (0, 1, 2, 10, 40, len(good) - 1):
        field = struct.pack("<Q", len(good))
        header(
            f"header_cut_after_{cut}",
            run(field, good[:cut]),
            f"expected a header of {len(good)} bytes, got a file",
        )
    header(
        "length_of_8_in_a_file_of_15",
        run(struct.pack("<Q", 8), b"{}     "),
        "expected a header of 8 bytes, got a file of 15 bytes",
    )
    header("length_one_short", shard(good, data=4, length=len(good) - 1), "got the end of the text")
    header("length_0", shard("", length=0), "header length 0")
    header("zeros", run((b"\0", 64)), "header length 0")
    lookalikes = {
        "lfs_pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 4\n",
        "zip": b"PK\x03\x04\x14\0\0\0\x08\0" + b"\0" * 30,
        "empty_zip": b"PK\x05\x06" + b"\1" * 18,
        "gguf": b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0",
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
        "html_lower": b"<html><body>404</body></html>",
        "pickle_2": b"\x80\x02}q\0(X\x01\0\0\0a",
        "pickle_4": b"\x80\x04\x95\x10\0\0\0\0\0\0\0}",
        "json": b'{"error":"Repository not found"}',
        "hdf5": b"\x89HDF\r\n\x1a\n" + b"\0" * 16,
        "numpy": b"\x93NUMPY\x01\0v\0",
        "text": b"Access to model is restricted.",
    }
    for name, data in lookalikes.items():
        header(f"is_{name}", run(data), "expected a header of at most")

    # Not UTF-8
    for name, data in {
        "latin_1": b"\xe9", "overlong": b"\xc0\x80", "surrogate": b"\xed\xa0\x80", "cut": b"\xc3", "ff": b"\xff",
        "over_10ffff": b"\xf4\x90\x80\x80", "lone_continuation": b"\x80", "cut_of_four": b"\xf0\x9f\x98",
        "five_bytes": b"\xf8\x88\x80\x80\x80", "fe": b"\xfe", "nul_overlong": b"\xe0\x80\x80",
    }.items():  # fmt: skip
        header(f"not_utf8_{name}", shard(b'{"', data, b'":', a, b"}", data=4), "not UTF-8")

    # Not JSON, or not an object
    broken = {
        "only_spaces": ("   ", "got the end of the text"),
        "root_array": (f"[{good}]", "expected an object, got an array"),
        "root_null": ("null", "expected an object, got `null`"),
        "root_true": ("true", "expected an object, got `true`"),
        "root_string": ('"a"', "expected an object, got a string"),
        "root_number": ("1", "expected an object, got a number"),
        "bom": ("\ufeff" + good, "expected an object, got `\\u{feff}`"),
        "nul_before": ("\0" + good, "expected an object, got `\\u{0}`"),
        "nul_padding": (good + "\0\0\0", "expected the end of the text, got `\\u{0}`"),
        "nul_inside": ('{\0"a":' + a + "}", "got `\\u{0}`"),
        "form_feed_padding": (good + "\f", "expected the end of the text"),
        "nbsp_padding": (good + "\u00a0", "expected the end of the text"),
        "trailing_garbage": (good + "x", "expected the end of the text, got `x`"),
        "two_roots": (good + "{}", "expected the end of the text, got an object"),
        "trailing_bracket": (good + "}", "expected the end of the text, got `}`"),
        "comment": ("{/*c*/" + good[1:], "expected a key in double quotes"),
        "line_comment": ("{//c\n" + good[1:], "expected a key in double quotes"),
        "hash_comment": ("#c\n" + good, "expected an object"),
        "single_quotes": (good.replace('"', "'"), "expected a key in double quotes"),
        "bare_key": ("{a:" + a + "}", "expected a key in double quotes"),
        "number_key": ("{1:" + a + "}", "expected a key in double quotes"),
        "trailing_comma": (f'{{"a":{a},}}', "expected a key in double quotes, got `}`"),
        "leading_comma": (f'{{,"a":{a}}}', "expected a key in double quotes, got `,`"),
        "double_comma": (f'{{"a":{a},,"b":{a}}}', "expected a key in double quotes, got `,`"),
        "no_comma": (f'{{"a":{a} "b":{a}}}', "expected `,` or `}`, got a string"),
        "no_colon": (f'{{"a" {a}}}', "expected `:`, got an object"),
        "equals_sign": (f'{{"a"={a}}}', "expected `:`, got `=`"),
        "unclosed_root": (f'{{"a":{a}', "expected `,` or `}`, got the end of the text"),
        "unclosed_name": ('{"a', "this string has no end"),
        "wrong_bracket": (good[:-1] + "]", "expected `,` or `}`, got `]`"),
        "shape_trailing_comma": (f'{{"a":{tensor(shape="[1,]")}}}', "expected a dimension"),
        "control_in_name": (f'{{"a\nb":{a}}}', "raw control character 0x0a"),
        "tab_in_name": (f'{{"a\tb":{a}}}', "raw control character 0x09"),
        "nul_in_name": (f'{{"a\0b":{a}}}', "raw control character 0x00"),
        "escape_in_name": (f'{{"a\x1b[2Jb":{a}}}', "raw control character 0x1b"),
        "lone_high_surrogate": (f'{{"\\ud800":{a}}}', "invalid escape"),
        "lone_low_surrogate": (f'{{"\\udc00":{a}}}', "invalid escape"),
        "two_high_surrogates": (f'{{"\\ud800\\ud800":{a}}}', "invalid escape"),
        "high_then_letter": (f'{{"\\ud800a":{a}}}', "invalid escape"),
        "unknown_escape": (f'{{"\\x41":{a}}}', "invalid escape"),
        "short_unicode_escape": (f'{{"\\u41":{a}}}', "invalid escape"),
        "signed_unicode_escape": (f'{{"\\u+041":{a}}}', "invalid escape"),
        "capital_unicode_escape": (f'{{"\\U0041":{a}}}', "invalid escape"),
        "escape_at_the_end": ('{"\\', "invalid escape"),
    }
    for name, (text, says) in broken.items():
        header(f"json_{name}", shard(text, data=4), says)
    header("json_deep_root", shard(("[", 100_000)), "expected an object")
    for depth in (2, 3, 127, 128, 100_000):
        nested = run(good[:-2] + ',"x":', ("[", depth), ("]", depth), "}}")
        says = None if depth == 2 else "nested more than 4 levels"
        header(f"json_depth_{depth}", shard(*map(tuple, nested), data=4), says, depth < 120)
    header(
        "json_depth_unclosed",
        shard(good[:-2] + ',"x":', ('{"a":', 100_000), data=4),
        "nested more than 4 levels",
    )

    # Fields of a tensor entry
    fields = {
        "entry_null": ("null", "expected an object with dtype, shape and data_offsets, got `null`"),
        "entry_string": ('"F32"', "got a string"),
        "entry_number": ("1", "got a number"),
        "entry_true": ("true", "got `true`"),
        "entry_empty": ("{}", "field `dtype` is missing"),
        "entry_empty_array": ("[]", "got an array"),
        "no_dtype": ('{"shape":[1],"data_offsets":[0,4]}', "field `dtype` is missing"),
        "no_shape": ('{"dtype":"F32","data_offsets":[0,4]}', "field `shape` is missing"),
        "no_offsets": ('{"dtype":"F32","shape":[1]}', "field `data_offsets` is missing"),
        "capital_field": (a.replace("dtype", "Dtype"), "field `dtype` is missing"),
        "dtype_twice": (tensor(extra=',"dtype":"F32"'), "`dtype` is there twice"),
        "dtype_twice_escaped": (tensor(extra=',"\\u0064type":"F32"'), "`dtype` is there twice"),
        "shape_twice": (tensor(extra=',"shape":[1]'), "`shape` is there twice"),
        "offsets_twice": (tensor(extra=',"data_offsets":[0,4]'), "`data_offsets` is there twice"),
        "dtype_null": (a.replace('"F32"', "null"), "expected dtype to be a string, got `null`"),
        "dtype_number": (a.replace('"F32"', "0"), "expected dtype to be a string, got a number"),
        "dtype_array": (a.replace('"F32"', '["F32"]'), "expected dtype to be a string, got an array"),
        "shape_null": (tensor(shape="null"), "expected shape to be an array, got `null`"),
        "shape_number": (tensor(shape="1"), "expected shape to be an array, got a number"),
        "shape_object": (tensor(shape='{"0":1}'), "expected shape to be an array, got an object"),
        "shape_string": (tensor(shape='"[1]"'), "expected shape to be an array, got a string"),
        "shape_nested": (tensor(shape="[[1]]"), "expected a dimension"),
        "offsets_null": (tensor(offsets="null"), "expected data_offsets to be an array"),
        "offsets_object": (tensor(offsets='{"0":0,"1":4}'), "expected data_offsets to be an array"),
        "offsets_none": (tensor(offsets="[]"), "expected 2 data_offsets, got 0"),
        "offsets_one": (tensor(offsets="[0]"), "expected 2 data_offsets, got 1"),
        "offsets_three": (tensor(offsets="[0,4,8]"), "expected 2 data_offsets, got 3"),
        "offsets_falling": (tensor(offsets="[4,0]"), "expected data_offsets that rise, got [4, 0]"),
        "offsets_max_falling": (tensor(offsets=f"[{TOP - 1},0]"), "expected data_offsets that rise"),
        "unknown_number_too_large": (tensor(extra=',"x":1e999'), "number 1e999 is out of range"),
    }
    for name, (text, says) in fields.items():
        header(f"field_{name}", shard(f'{{"a":{text}}}', data=4), says)
    for name, dtype in {
        **{name: name.lower() for name in DTYPES}, "C128": "C128", "F128": "F128", "space_after": "F16 ",
        "space_before": " F16", "empty": "", "float32": "float32", "torch": "torch.bfloat16", "F8": "F8", "I4": "I4",
        "U4": "U4", "Q4_K": "Q4_K", "accent": "BF\u00e916", "nul_after": "F32\\u0000",
    }.items():  # fmt: skip
        header(f"dtype_{name}", shard(f'{{"a":{tensor(dtype)}}}', data=4), "unknown dtype")

    # Numbers, in each place
    for name, token in {
        "negative": "-1", "minus_0": "-0", "fraction": "1.0", "exponent": "1e0", "capital_exponent": "1E0",
        "quoted": '"1"', "null": "null", "true": "true", "2_pow_64": str(TOP), "30_digits": "9" * 30,
        "leading_0": "01", "plus": "+1", "hexadecimal": "0x1", "leading_point": ".5", "trailing_point": "1.",
        "infinity": "Infinity", "nan": "NaN", "underscore": "1_0", "overflow": "1e400", "fullwidth": "\uff11",
        "empty": "", "object": "{}",
    }.items():  # fmt: skip
        scalar = None if token == "" else "byte "
        header(f"number_{name}_in_shape", shard(f'{{"a":{tensor(shape=f"[{token}]")}}}', data=4), scalar)
        header(f"number_{name}_in_begin", shard(f'{{"a":{tensor(offsets=f"[{token},4]")}}}', data=4), "byte ")
        header(f"number_{name}_in_end", shard(f'{{"a":{tensor(offsets=f"[0,{token}]")}}}', data=4), "byte ")

    # __metadata__
    for name, (text, says) in {
        "string": ('"x"', "expected `__metadata__` to be an object, got a string"),
        "array": ("[]", "expected `__metadata__` to be an object, got an array"),
        "false": ("false", "expected `__metadata__` to be an object, got `false`"),
        "number_value": ('{"a":1}', "expected a string in `__metadata__`, got a number"),
        "null_value": ('{"a":null}', "expected a string in `__metadata__`, got `null`"),
        "nested_value": ('{"a":{}}', "expected a string in `__metadata__`, got an object"),
        "tensor": (a, "expected a string in `__metadata__`, got an array"),
    }.items():
        header(f"metadata_{name}", shard(f'{{"__metadata__":{text},"a":{a}}}', data=4), says)
    for name, (one, other) in {
        "twice": ("__metadata__", "__metadata__"), "twice_escaped": ("__metadata__", "\\u005f_metadata__"),
    }.items():  # fmt: skip
        header(f"metadata_{name}", shard(f'{{"{one}":{{}},"{other}":{{}}}}'), "`__metadata__` is there twice")
    header("metadata_key_twice", shard('{"__metadata__":{"k":"1","k":"2"}}'), "`k` is there twice", True)
    header(
        "metadata_key_twice_escaped",
        shard('{"__metadata__":{"k":"1","\\u006b":"2"}}'),
        "`k` is there twice",
        True,
    )
    for name, text in {
        "null": "null", "empty": "{}", "pt": '{"format":"pt"}', "odd": '{"":"","\\u0000":"\\ud83d\\ude00","\u202e":"x"}',
    }.items():  # fmt: skip
        header(f"metadata_{name}", shard(f'{{"__metadata__":{text},"a":{a}}}', data=4))
        header(f"metadata_{name}_last", shard(f'{{"a":{a},"__metadata__":{text}}}', data=4))
    header(
        "metadata_spelt_with_escapes", shard(f'{{"\\u005f\\u005fmetadata__":{{"a":"b"}},"a":{a}}}', data=4)
    )
    header("metadata_near_miss", shard(f'{{"__metadata_":{a}}}', data=4))
    header("metadata_large", shard('{"__metadata__":{"k":"', ("v", 1_000_000), '"}}'))

    # Names
    header("name_twice_equal", shard(f'{{"a":{a},"a":{a}}}', data=4), "`a` is there twice", True)
    header(
        "name_twice_other_dtype",
        shard(f'{{"a":{tensor("I32")},"a":{a}}}', data=4),
        "`a` is there twice",
        True,
    )
    header(
        "name_twice_other_shape",
        shard(f'{{"a":{tensor(shape="[9]")},"a":{a}}}', data=4),
        "is there twice",
        True,
    )
    header(
        "name_twice_first_outside",
        shard(f'{{"a":{tensor(offsets="[90,94]")},"a":{a}}}', data=4),
        "is there twice",
        True,
    )
    header(
        "name_twice_last_outside",
        shard(f'{{"a":{a},"a":{tensor(offsets="[90,94]")}}}', data=4),
        "is there twice",
    )
    header("name_twice_escaped", shard(f'{{"a":{a},"\\u0061":{a}}}', data=4), "`a` is there twice", True)
    header(
        "name_twice_escaped_accent", shard(f'{{"\u00e9":{a},"\\u00e9":{a}}}', data=4), "is there twice", True
    )
    header(
        "name_twice_escaped_pair",
        shard(f'{{"\U0001f600":{a},"\\ud83d\\uDE00":{a}}}', data=4),
        "is there twice",
        True,
    )
    header("name_twice_escaped_slash", shard(f'{{"/":{a},"\\/":{a}}}', data=4), "is there twice", True)
    header("name_thrice", shard(f'{{"a":{a},"b":{a},"a":{a},"b":{a},"a":{a}}}', data=4), "is there twice")
    names = {
        "empty": "", "nul": "\\u0000", "traversal": "../../etc/passwd", "escape_sequence": "\\u001b[2J\\u001b]0;x\\u0007",
        "bidi": "a\u202eb", "newline": "a\\nb", "quote": '\\"', "backslash": "\\\\", "emoji": "\U0001f600",
        "del": "\x7f", "c1": "\u0085", "zero_width": "a\u200bb", "bom": "\ufeff", "spaces": "  ", "combining": "e\u0301",
        "noncharacter": "\uffff", "4096_bytes": "n" * 4096, "4096_bytes_escaped": "\\u006e" * 4096, "json": "{}",
        "proto": "__proto__", "dotted": "model.layers.0.self_attn.q_proj.weight", "line_separator": "\u2028",
    }  # fmt: skip
    for name, text in names.items():
        header(f"name_{name}", shard(f'{{"{text}":{a}}}', data=4))
        if len(text) < 100:
            header(
                f"name_{name}_at_fault",
                shard(f'{{"{text}":{tensor(shape="[2]")}}}', data=4),
                "expected 8 bytes for F32 [2], got 4",
            )
    header(
        "name_4097_bytes",
        shard('{"' + "n" * 4097 + f'":{a}}}', data=4),
        "expected a name of at most 4096 bytes, got 4097",
        True,
    )
    header(
        "name_4097_bytes_of_accents", shard('{"n' + "\u00e9" * 2048 + f'":{a}}}', data=4), "got 4097", True
    )
    header(
        "name_1_megabyte",
        shard('{"', ("n", 1_000_000), f'":{a}}}', data=4),
        "expected a name of at most 4096 bytes",
        True,
    )

    # Written so by accident of one parser
    header("entry_as_array", shard('{"a":["F32",[1],[0,4]]}', data=4), "got an array", True)
    header(
        "dtype_as_map",
        shard(f'{{"a":{a}}}'.replace('"F32"', '{"F32":null}'), data=4),
        "expected dtype to be a string, got an object",
        True,
    )
    header("unknown_field", shard('{"a":' + tensor(extra=',"x":1') + "}", data=4))
    header(
        "unknown_field_in_two",
        shard(
            '{"a":'
            + tensor(extra=',"x":[1.5e3]')
            + ',"b":'
            + tensor(offsets="[4,8]", extra=',"y":{"k":null}')
            + "}",
            data=8,
        ),
    )
    header(
        "unknown_field_twice",
        shard('{"a":' + tensor(extra=',"x":1,"x":1') + "}", data=4),
        "`x` is there twice",
        True,
    )
    header(
        "unknown_field_twice_inside",
        shard('{"a":' + tensor(extra=',"x":{"k":1,"k":1}') + "}", data=4),
        "`k` is there twice",
        True,
    )

    # Layout
    def b(offsets, shape="[1]", dtype="F32"):
        return tensor(dtype, shape, offsets)

    layout = {
        "hole_in_front": (f'{{"a":{b("[4,8]")}}}', 8, "begin at offset 0, got 4: a hole"),
        "hole_between": (f'{{"a":{a},"b":{b("[8,12]")}}}', 12, "begin at offset 4, after `a`, got 8: a hole"),
        "hole_of_one": (f'{{"a":{a},"b":{b("[5,9]")}}}', 9, "begin at offset 4, after `a`, got 5: a hole"),
        "overlap_full": (f'{{"a":{a},"b":{a}}}', 4, "begin at offset 4, after `a`, got 0: an overlap"),
        "overlap_partial": (
            f'{{"a":{a},"b":{b("[2,6]")}}}',
            6,
            "begin at offset 4, after `a`, got 2: an overlap",
        ),
        "overlap_inside": (f'{{"a":{b("[0,8]", "[2]")},"b":{b("[2,6]")}}}', 8, "an overlap"),
        "overlap_by_one": (f'{{"a":{a},"b":{b("[3,7]")}}}', 7, "an overlap"),
        "empty_inside_another": (f'{{"a":{a},"b":{b("[2,2]", "[0]")}}}', 4, "an overlap"),
        "empty_past_the_end": (f'{{"a":{a},"b":{b("[8,8]", "[0]")}}}', 4, "a hole"),
        "empty_at_max": (f'{{"a":{a},"b":{b(f"[{TOP - 1},{TOP - 1}]", "[0]")}}}', 4, "a hole"),
        "huge_end": (
            f'{{"a":{b(f"[0,{TOP - 1}]")}}}',
            4,
            "expected 4 bytes for F32 [1], got 18446744073709551615",
        ),
        "too_few_bytes": (f'{{"a":{b("[0,4]", "[2]")}}}', 4, "expected 8 bytes for F32 [2], got 4"),
        "too_many_bytes": (f'{{"a":{b("[0,8]")}}}', 8, "expected 4 bytes for F32 [1], got 8"),
        "no_bytes": (f'{{"a":{b("[0,0]")}}}', 0, "expected 4 bytes for F32 [1], got 0"),
        "scalar_too_long": (f'{{"a":{b("[0,8]", "[]")}}}', 8, "expected 4 bytes for F32 [], got 8"),
        "empty_with_bytes": (f'{{"a":{b("[0,4]", "[0,7]")}}}', 4, "expected 0 bytes for F32 [0, 7], got 4"),
        "wrong_dtype_size": (
            f'{{"a":{b("[0,4]", "[1]", "BF16")}}}',
            4,
            "expected 2 bytes for BF16 [1], got 4",
        ),
        "one_f4": (f'{{"a":{b("[0,1]", "[1]", "F4")}}}', 1, "F4 [1] does not end at a whole byte"),
        "seven_f4": (f'{{"a":{b("[0,4]", "[7]", "F4")}}}', 4, "F4 [7] does not end at a whole byte"),
        "scalar_f4": (f'{{"a":{b("[0,1]", "[]", "F4")}}}', 1, "F4 [] does not end at a whole byte"),
        "three_f6": (
            f'{{"a":{b("[0,2]", "[3]", "F6_E2M3")}}}',
            2,
            "F6_E2M3 [3] does not end at a whole byte",
        ),
        "six_f6": (
            f'{{"a":{b("[0,4]", "[2,3]", "F6_E3M2")}}}',
            4,
            "F6_E3M2 [2, 3] does not end at a whole byte",
        ),
        "five_f6": (f'{{"a":{b("[0,4]", "[5]", "F6_E3M2")}}}', 4, "F6_E3M2 [5] does not end at a whole byte"),
        "scalar_f6": (f'{{"a":{b("[0,1]", "[]", "F6_E2M3")}}}', 1, "F6_E2M3 [] does not end at a whole byte"),
        "odd_product_f4": (
            f'{{"a":{b("[0,8]", "[3,5]", "F4")}}}',
            8,
            "F4 [3, 5] does not end at a whole byte",
        ),
        "second_f4": (f'{{"a":{a},"b":{b("[4,5]", "[1]", "F4")}}}', 5, "F4 [1] does not end at a whole byte"),
        "f4_that_would_fit_a_byte_less": (
            f'{{"a":{b("[0,1]", "[3]", "F4")}}}',
            1,
            "F4 [3] does not end at a whole byte",
        ),
        "product_is_2_pow_64": (f'{{"a":{b("[0,4]", f"[{2**32},{2**32}]")}}}', 4, "overflows 64 bits"),
        "bits_are_2_pow_64": (f'{{"a":{b("[0,4]", f"[{2**30},{2**29}]")}}}', 4, "overflows 64 bits"),
        "bits_of_f64_overflow": (
            f'{{"a":{b("[0,8]", f"[{2**29},{2**29}]", "F64")}}}',
            8,
            "overflows 64 bits",
        ),
        "many_dimensions_overflow": (f'{{"a":{b("[0,4]", str([2] * 64))}}}', 4, "overflows 64 bits"),
        "second_overflows": (f'{{"a":{a},"b":{b("[4,8]", f"[{2**48},{2**48}]")}}}', 8, "overflows 64 bits"),
        "product_overflows": (f'{{"a":{b("[0,4]", f"[{2**40},{2**40}]")}}}', 4, "overflows 64 bits"),
        "bits_overflow": (f'{{"a":{b("[0,4]", f"[{2**48},{2**12}]")}}}', 4, "overflows 64 bits"),
        "overflow_then_zero": (f'{{"a":{b("[0,0]", f"[{2**40},{2**40},0]")}}}', 0, "overflows 64 bits"),
        "dimension_max_then_zero": (f'{{"a":{b("[0,0]", f"[{TOP - 1},{TOP - 1},0]")}}}', 0, "at most 2^48"),
        "dimension_max": (f'{{"a":{b("[0,4]", f"[{TOP - 1}]")}}}', 4, "at most 2^48"),
        "data_missing": (good, 0, "expected a file of 66 bytes, got 62"),
        "last_byte_missing": (good, 3, "expected a file of 66 bytes, got 65"),
        "second_tensor_missing": (two, 4, "expected a file of"),
        "one_byte_after": (good, 5, "expected a file of 66 bytes, got 67"),
        "half_of_the_data": (two, 6, "expected a file of"),
        "a_kibibyte_after": (good, 1028, "expected a file of 66 bytes, got 1090"),
        "data_of_an_empty_tensor": (f'{{"a":{b("[0,0]", "[0]")}}}', 1, "expected a file of"),
        "data_far_too_short": (
            f'{{"a":{b(f"[0,{2**40}]", f"[{2**38}]")}}}',
            4,
            "expected a file of",
        ),
        "data_after_nothing": ("{}", 4, "expected a file of 10 bytes, got 14"),
    }
    for name, (text, data, says) in layout.items():
        header(f"layout_{name}", shard(text, data=data), says)
    header(
        "layout_zip_behind",
        run(*map(tuple, shard(good, data=4)), b"PK\x03\x04" + b"\0" * 40),
        "expected a file of",
    )
    header(
        "layout_zero_then_overflow",
        shard(f'{{"a":{b("[0,0]", f"[0,{2**40},{2**40}]")}}}'),
        "overflows 64 bits",
        True,
    )
    header(
        "layout_zero_then_dimension_max",
        shard(f'{{"a":{b("[0,0]", f"[0,{TOP - 1},{TOP - 1}]")}}}'),
        "at most 2^48",
        True,
    )
    header(
        "layout_dimension_over_limit",
        shard(f'{{"a":{b("[0,0]", f"[0,{2**48 + 1}]")}}}'),
        "at most 2^48, got 281474976710657",
        True,
    )
    header("layout_dimension_at_limit", shard(f'{{"a":{b("[0,0]", f"[{2**48},0]")}}}'))
    header(
        "layout_65_dimensions",
        shard(f'{{"a":{b("[0,4]", str([1] * 65))}}}', data=4),
        "at most 64 dimensions",
        True,
    )
    header("layout_64_dimensions", shard(f'{{"a":{b("[0,4]", str([1] * 64))}}}', data=4))
    header(
        "layout_100000_dimensions",
        shard('{"a":{"dtype":"F32","data_offsets":[0,4],"shape":[1', (",1", 99_999), "]}}", data=4),
        "at most 64 dimensions",
        True,
    )

    # Odd and valid
    for dtype, bits in DTYPES.items():
        header(f"ok_{dtype}", shard(f'{{"a":{tensor(dtype, "[2,4]", f"[0,{bits}]")}}}', data=bits))
    header("ok_no_tensors", shard("{}"))
    header("ok_scalar", shard(f'{{"a":{tensor(shape="[]")}}}', data=4))
    header("ok_two", shard(two, data=8))
    header("ok_entries_in_any_order", shard(f'{{"a":{tensor(offsets="[4,8]")},"b":{a}}}', data=8))
    header("ok_fields_in_any_order", shard('{"a":{"data_offsets":[0,4],"dtype":"F32","shape":[1]}}', data=4))
    header(
        "ok_fields_with_escapes",
        shard('{"a":{"\\u0064type":"F\\u0033\\u0032","shape":[1],"data_offsets":[0,4]}}', data=4),
    )
    header(
        "ok_empty_tensors_at_one_offset",
        shard(
            "{"
            + ",".join(f'"{n}":{tensor(shape="[0]", offsets="[4,4]")}' for n in "bcd")
            + f',"a":{a},"e":{tensor(offsets="[4,8]")}}}',
            data=8,
        ),
    )
    header(
        "ok_only_empty_tensors",
        shard(f'{{"a":{tensor(shape="[0]", offsets="[0,0]")},"b":{tensor("I64", "[3,0]", "[0,0]")}}}'),
    )
    header("ok_two_f4", shard(f'{{"a":{tensor("F4", "[2]", "[0,1]")}}}', data=1))
    header("ok_four_f6", shard(f'{{"a":{tensor("F6_E2M3", "[4]", "[0,3]")}}}', data=3))
    header(
        "ok_misaligned",
        shard(f'{{"a":{tensor("U8", "[3]", "[0,3]")},"b":{tensor(offsets="[3,7]")}}}', data=7),
    )
    header("ok_bool_of_2", run(*map(tuple, shard(f'{{"a":{tensor("BOOL", "[1]", "[0,1]")}}}')), b"\x02"))
    for name, before, after in [
        ("spaces", "  ", "     "), ("tabs", "\t", "\t\t"), ("lines", "\n\r\n", "\r\n"), ("after", "", " " * 64), ("before", " " * 64, ""),
    ]:  # fmt: skip
        header(f"ok_white_space_{name}", shard(before + good + after, data=4))
    header("ok_white_space_inside", shard(good.replace(",", " ,\n\t").replace(":", " :\r "), data=4))
    header(
        "ok_many_tensors",
        shard(
            "{" + ",".join(f'"t{i}":{tensor("U8", "[1]", f"[{i},{i + 1}]")}' for i in range(300)) + "}",
            data=300,
        ),
    )


def index_cases():
    good = '{"metadata":{"total_size":4},"weight_map":{"a":"x.safetensors"}}'
    index("good", good)
    index("pretty", json.dumps(json.loads(good), indent=2, sort_keys=True) + "\n")
    index("without_metadata", '{"weight_map":{"a":"x.safetensors"}}')
    index("trailing_white_space", good + " \r\n\t")
    index("two_shards", '{"weight_map":{"b":"2.safetensors","a":"1.safetensors","c":"2.safetensors"}}')
    for name, text in {
        "metadata_null": '"metadata":null', "metadata_array": '"metadata":[]', "metadata_string": '"metadata":"x"',
        "total_size_float": '"metadata":{"total_size":4.0}', "total_size_null": '"metadata":{"total_size":null}',
        "total_size_string": '"metadata":{"total_size":"4"}', "total_size_negative": '"metadata":{"total_size":-1}',
        "total_size_2_pow_64": f'"metadata":{{"total_size":{TOP}}}', "unknown_key": '"x":1',
        "unknown_keys": '"x":1,"y":[],"z":{"k":{"k":{"k":null}}}', "metadata_empty": '"metadata":{}',
        "metadata_more": '"metadata":{"total_parameters":1,"mergekit_version":"0.1","x":{"y":[1,2.5,true]}}',
        "depth_8": '"x":' + "[" * 7 + "]" * 7,
    }.items():  # fmt: skip
        index(f"ok_{name}", f'{{{text},"weight_map":{{"a":"x.safetensors"}}}}')
    index(
        "ok_odd_tensor_names",
        json.dumps(
            {"weight_map": dict.fromkeys(["", "\0", "../x", "\u202e", "\U0001f600"], "x.safetensors")}
        ),
    )
    index("ok_odd_file_names", json.dumps({"weight_map": {str(i): n for i, n in enumerate(
        ["-.safetensors", ".safetensors", "..safetensors", " x .safetensors", "\u00e9.safetensors", "x" * 243 + ".safetensors", "~.safetensors", "$(x).safetensors", "con.safetensors"])}}))  # fmt: skip

    names = {
        "parent": "../x.safetensors", "absolute": "/etc/x.safetensors", "dots": "..", "dot": ".", "empty": "",
        "folder": "a/b.safetensors", "backslash": "a\\b.safetensors", "windows_parent": "..\\x.safetensors",
        "drive": "C:x.safetensors", "stream": "x.safetensors:y.safetensors", "url": "https://h/x.safetensors",
        "nul": "x\0.safetensors", "nul_suffix": "x.safetensors\0", "newline": "x\n.safetensors", "tab": "\t.safetensors",
        "escape": "\x1b[2J.safetensors", "del": "\x7f.safetensors", "c1": "\x85.safetensors",
        "256_bytes": "x" * 244 + ".safetensors", "256_bytes_of_accents": "\u00e9" * 122 + ".safetensors",
        "5000_bytes": "x" * 5000 + ".safetensors", "without_suffix": "x", "bin": "pytorch_model.bin",
        "capital_suffix": "x.SAFETENSORS", "trailing_space": "x.safetensors ", "trailing_dot": "x.safetensors.",
        "suffix_with_folder": "x/.safetensors", "index_itself": "model.safetensors.index.json", "device": "/dev/zero",
        "home": "~/x.safetensors", "dots_with_slash": "../", "slash": "/", "unc": "\\\\h\\s\\x.safetensors",
        "encoded_slash_is_not": "x", "proc": "/proc/self/fd/0", "without_dot": "xsafetensors",
    }  # fmt: skip
    for name, text in names.items():
        index(
            f"name_{name}",
            json.dumps({"weight_map": {"a": text}}),
            "expected the name of a file beside the index",
        )
    index("name_escaped_slash", '{"weight_map":{"a":"..\\u002fx.safetensors"}}', "holds `/`")
    index(
        "names_many_bad",
        json.dumps({"weight_map": {str(i): f"../{i}" for i in range(50)}}),
        "40 more entries of the index have bad file names",
    )
    for token in ["null", "1", "true", "[]", "{}", '["x.safetensors"]', '{"file":"x.safetensors"}']:
        index(f"value_{token}", f'{{"weight_map":{{"a":{token}}}}}', "expected a file name in `weight_map`")
    for token in ["null", "[]", '"x"', "1", "true", '[["a","x.safetensors"]]']:
        index(f"weight_map_{token}", f'{{"weight_map":{token}}}', "expected `weight_map` to be an object")
    index("weight_map_empty", '{"weight_map":{}}', "expected tensors in `weight_map`, got none")
    index("weight_map_missing", '{"metadata":{}}', "expected an index with a `weight_map`, got none")
    index(
        "weight_map_capital",
        '{"Weight_map":{"a":"x.safetensors"}}',
        "expected an index with a `weight_map`, got none",
    )
    index("empty_object", "{}", "expected an index with a `weight_map`, got none")

    pair = '"a":"x.safetensors"'
    twice = {
        "tensor": (f'{{"weight_map":{{{pair},{pair}}}}}', "`a` is there twice"),
        "tensor_other_shard": ('{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}', "`a` is there twice"),
        "tensor_escaped": ('{"weight_map":{"a":"x.safetensors","\\u0061":"y.safetensors"}}', "`a` is there twice"),
        "tensor_far_apart": ('{"weight_map":{"a":"x.safetensors",' + "".join(f'"t{i}":"x.safetensors",' for i in range(99)) + '"a":"x.safetensors"}}', "`a` is there twice"),
        "weight_map": (f'{{"weight_map":{{{pair}}},"weight_map":{{{pair}}}}}', "`weight_map` is there twice"),
        "weight_map_escaped": (f'{{"weight_map":{{{pair}}},"weight\\u005fmap":{{{pair}}}}}', "`weight_map` is there twice"),
        "metadata": (f'{{"metadata":{{}},"metadata":{{}},"weight_map":{{{pair}}}}}', "`metadata` is there twice"),
        "total_size": (f'{{"metadata":{{"total_size":1,"total_size":2}},"weight_map":{{{pair}}}}}', "`total_size` is there twice"),
        "inside_metadata": (f'{{"metadata":{{"x":{{"y":1,"y":1}}}},"weight_map":{{{pair}}}}}', "`y` is there twice"),
        "inside_array": (f'{{"x":[{{"y":1,"y":1}}],"weight_map":{{{pair}}}}}', "`y` is there twice"),
        "unknown": (f'{{"x":1,"x":1,"weight_map":{{{pair}}}}}', "`x` is there twice"),
        "empty_key": (f'{{"":1,"":1,"weight_map":{{{pair}}}}}', "`` is there twice"),
    }  # fmt: skip
    for name, (text, says) in twice.items():
        index(f"twice_{name}", text, says)

    broken = {
        "empty": "", "spaces": "  ", "null": "null", "array": f"[{good}]", "string": '"x"', "bom": "\ufeff" + good,
        "nul_after": good + "\0", "two_roots": good + good, "garbage": good + "x", "comment": "/**/" + good,
        "trailing_comma": good[:-1] + ",}", "inner_trailing_comma": good[:-2] + ",}}", "single_quotes": good.replace('"', "'"),
        "unclosed": good[:-1], "unclosed_string": good[:-4], "nan": good.replace("4", "NaN"), "infinity": good.replace("4", "-Infinity"),
        "leading_0": good.replace("4", "04"), "lone_surrogate": good.replace('"a"', '"\\ud800"'),
        "raw_control": good.replace('"a"', '"a\n"'), "bad_escape": good.replace('"a"', '"\\a"'), "html": "<!DOCTYPE html>",
        "lfs_pointer": "version https://git-lfs.github.com/spec/v1\n", "huge_number": good.replace("4", "1e999"),
        "depth_9": good[:-1] + ',"x":' + "[" * 8 + "]" * 8 + "}", "depth_of_objects": '{"x":' * 9 + "1" + "}" * 9,
        "undefined": good.replace("4", "undefined"), "capital_true": good.replace("4", "True"),
    }  # fmt: skip
    for name, text in broken.items():
        index(f"json_{name}", text, "byte ")
    index("json_depth_100000", run(good[:-1] + ',"x":', ("[", 100_000)), "nested more than 8 levels")
    for name, data in {"latin_1": b"\xe9", "utf_16": b"\xff\xfe{\0}\0", "overlong": b"\xc0\xaf"}.items():
        index(f"not_utf8_{name}", run(data), "not UTF-8")
    index(
        "tensor_name_4097_bytes",
        '{"weight_map":{"' + "n" * 4097 + '":"x.safetensors"}}',
        "tensor name of at most 4096 bytes",
    )
    index("ok_tensor_name_4096_bytes", '{"weight_map":{"' + "n" * 4096 + '":"x.safetensors"}}')
    index("over_64_MiB", run(good, (" ", 64 << 20)), "expected an index of at most 67108864 bytes")


def directory_cases():
    def f(path, parts):
        return {"path": path, "is": "file", "file": parts if isinstance(parts, list) else run(parts)}

    def link(path, to):
        return {"path": path, "is": "link", "to": to}

    def node(path, what):
        return {"path": path, "is": what}

    def one(name="a"):
        return shard(f'{{"{name}":{tensor()}}}', data=4)

    def names(**weight_map):
        return run(json.dumps({"metadata": {"total_size": 4 * len(weight_map)}, "weight_map": weight_map}))

    x, y = "x.safetensors", "y.safetensors"
    idx = "m/model.safetensors.index.json"
    pair = [f("m/" + x, one("a")), f("m/" + y, one("b")), f(idx, names(a=x, b=y))]

    # What is taken
    directory("single_in_directory", [f("m/model.safetensors", one())])
    directory("single_of_any_name", [f("m/" + x, one()), f("m/config.json", "{}")])
    directory("single_file", [f("m/" + x, one())], path="m/" + x)
    directory("two_shards", pair)
    directory(
        "index_of_any_name",
        [*pair[:2], f("m/diffusion_pytorch_model.safetensors.index.json", names(a=x, b=y))],
    )
    directory(
        "index_of_one_whole_file", [f("m/model.safetensors", one()), f(idx, names(a="model.safetensors"))]
    )
    directory(
        "set_without_index",
        [f(f"m/model-0000{i}-of-00002.safetensors", one(n)) for i, n in [(1, "a"), (2, "b")]],
    )
    directory(
        "shard_without_tensors",
        [f("m/" + x, one("a")), f("m/" + y, shard("{}")), f(idx, names(a=x))],
        "not mention",
    )
    directory(
        "one_of_a_set_as_file",
        [f("m/model-00001-of-00002.safetensors", one())],
        path="m/model-00001-of-00002.safetensors",
        warns=1,
    )
    directory("pickles_beside_it", [f("m/model.safetensors", one()), f("m/pytorch_model.bin", b"\x80\x02.")])
    directory("hidden_file_beside_it", [f("m/model.safetensors", one()), f("m/._model.safetensors", "x")])
    directory(
        "folder_beside_it", [f("m/model.safetensors", one()), f("m/original/consolidated.safetensors", one())]
    )
    directory(
        "wrong_total_size",
        [*pair[:2], f(idx, json.dumps({"metadata": {"total_size": 9}, "weight_map": {"a": x, "b": y}}))],
        warns=1,
    )
    directory(
        "unknown_index_key",
        [*pair[:2], f(idx, json.dumps({"k": 0, "weight_map": {"a": x, "b": y}}))],
        warns=1,
    )

    # What is not
    directory("nothing_there", [], "No such file or directory")
    directory(
        "empty_directory", [node("m", "directory")], "no safetensors checkpoint (the directory is empty)"
    )
    directory("only_config", [f("m/config.json", "{}")], "no safetensors checkpoint (found 1 other entry)")
    directory(
        "only_pickles",
        [f(f"m/pytorch_model-0000{i}-of-00002.bin", b"\x80\x02.") for i in (1, 2)],
        "no safetensors checkpoint (found `pytorch_model-00001-of-00002.bin`, ...)",
    )
    for suffix in ["bin", "pt", "pth", "ckpt", "pkl", "npz", "h5", "gguf"]:
        directory(
            f"only_{suffix}",
            [f(f"m/model.{suffix}", "x")],
            f"no safetensors checkpoint (found `model.{suffix}`)",
        )
    directory(
        "pickle_file",
        [f("m/model.bin", "x")],
        "no safetensors checkpoint (found `model.bin`)",
        path="m/model.bin",
    )
    directory("other_file", [f("m/README.md", "x")], "got another file", path="m/README.md")
    directory("index_file", pair, "got an index", path=idx)
    directory(
        "adapter",
        [f("m/adapter_model.safetensors", one()), f("m/adapter_config.json", "{}")],
        "a PEFT adapter, not a model",
    )
    directory(
        "adapter_file",
        [f("m/adapter_model.safetensors", one())],
        "a PEFT adapter, not a model",
        path="m/adapter_model.safetensors",
    )
    directory("no_tensors", [f("m/model.safetensors", shard("{}"))], "expected a model, got no tensors")
    parts = '{"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDIMScheduler"]}'
    scheduler = f("m/scheduler/scheduler_config.json", "{}")
    directory("pipeline", [f("m/model_index.json", parts), f("m/unet/" + x, one()), scheduler])
    directory(
        "pipeline_of_nothing",
        [f("m/model_index.json", "{}"), f("m/unet/" + x, one())],
        "expected the components of a pipeline, got none",
    )
    directory(
        "pipeline_without_a_folder",
        [f("m/model_index.json", parts), f("m/unet/" + x, one())],
        "names the folder `scheduler`, which is not there",
    )
    directory(
        "pipeline_without_tensors",
        [f("m/model_index.json", parts), f("m/unet/config.json", "{}"), scheduler],
        "expected the tensors of a UNet2DModel, got none",
    )
    directory(
        "pipeline_of_pickles",
        [f("m/model_index.json", parts), f("m/unet/diffusion_pytorch_model.bin", "PK"), scheduler],
        "no safetensors checkpoint (found `diffusion_pytorch_model.bin`)",
    )
    for name, folder in [
        ("up", "../m2"),
        ("absolute", "/etc"),
        ("hidden", ".git"),
        ("back", "a\\\\b"),
        ("deep", "a/b/c/d/e"),
    ]:
        modules = f'[{{"path": "{folder}", "type": "x.Dense"}}, {{"path": "", "type": "x.Transformer"}}]'
        directory(
            f"module_{name}",
            [f("m/modules.json", modules), f("m/" + x, one())],
            "expected the path of a folder inside the checkpoint",
        )
    modules = '[{"path": "", "type": "x.Transformer"}, {"path": "1_Dense", "type": "x.Dense"}]'
    directory("modules", [f("m/modules.json", modules), f("m/" + x, one()), f("m/1_Dense/" + x, one())])
    directory(
        "module_by_a_link",
        [
            f("m/modules.json", modules),
            f("m/" + x, one()),
            f("elsewhere/" + x, one()),
            {"path": "m/1_Dense", "is": "link", "to": "../elsewhere"},
        ],
        "outside the checkpoint",
    )
    directory(
        "tensor_of_two_modules",
        [f("m/modules.json", modules), f("m/" + x, one("1_Dense/a")), f("m/1_Dense/" + x, one("a"))],
        "expected it in one shard, got two",
    )
    directory(
        "modules_that_are_none", [f("m/modules.json", "{}"), f("m/" + x, one())], "expected a list of modules"
    )
    directory("modules_that_are_no_json", [f("m/modules.json", "["), f("m/" + x, one())], "not valid JSON")
    directory(
        "subfolders_only",
        [f("m/a/" + x, one()), f("m/b/" + x, one())],
        "got subfolders with safetensors files: `a`, `b`",
    )
    directory(
        "missing_shards",
        [f(idx, names(a=x, b=y, c="z.safetensors")), f("m/" + x, one("a"))],
        "2 of 3 shards are missing: `y.safetensors`, `z.safetensors`",
    )
    directory(
        "incomplete_set",
        [f(f"m/model-0000{i}-of-00004.safetensors", one(n)) for i, n in [(1, "a"), (3, "b")]],
        "2 of 4 shards are missing: `model-00002-of-00004.safetensors`, `model-00004-of-00004.safetensors`",
    )
    directory(
        "incomplete_set_of_one", [f("m/model-00001-of-00002.safetensors", one())], "1 of 2 shards are missing"
    )
    directory(
        "vast_incomplete_set",
        [f("m/model-000000001-of-999999999.safetensors", one())],
        "999999998 of 999999999 shards are missing",
    )
    directory(
        "set_number_out_of_range",
        [f("m/model-00003-of-00002.safetensors", one())],
        "expected shards 1 to 2, got 3",
    )
    directory(
        "set_number_0",
        [f(f"m/model-0000{i}-of-00001.safetensors", one(n)) for i, n in [(0, "a"), (1, "b")]],
        "expected shards 1 to 1, got 0",
    )
    directory(
        "two_sets",
        [f(f"m/{s}-0000{i}-of-00002.safetensors", one(f"{s}{i}")) for s in "pq" for i in (1, 2)],
        "several files without an index",
    )
    directory(
        "two_files",
        [f("m/" + x, one("a")), f("m/" + y, one("b"))],
        "several files without an index: `x.safetensors`, `y.safetensors`",
    )
    directory(
        "set_and_whole",
        [f("m/model-00001-of-00001.safetensors", one("a")), f("m/model.safetensors", one("a"))],
        "several files without an index",
    )
    directory(
        "whole_and_consolidated",
        [f("m/model.safetensors", one("a")), f("m/consolidated.safetensors", "not even read")],
        warns=1,
    )
    directory(
        "whole_and_variant",
        [f("m/model.safetensors", one("a")), f("m/model.fp16.safetensors", "not even read")],
        warns=1,
    )
    directory(
        "two_variants",
        [f(f"m/model.{v}.safetensors", one("a")) for v in ("bf16", "fp16")],
        "several files without an index: `model.bf16.safetensors`, `model.fp16.safetensors`",
    )
    directory(
        "two_spellings_of_a_variant",
        [
            f(f"m/model{name}.safetensors", one(f"a{i}"))
            for i in (1, 2)
            for name in (f".fp16-0000{i}-of-00002", f"-0000{i}-of-00002.fp16")
        ],
        "several files without an index",
    )
    directory("index_and_consolidated", [*pair, f("m/consolidated.safetensors", "not even read")], warns=1)
    directory(
        "unmentioned_file",
        [*pair, f("m/old.safetensors", one("c"))],
        "a safetensors file that the index does not mention: `old.safetensors`",
    )
    directory(
        "unmentioned_files",
        [*pair, f("m/p.safetensors", "?"), f("m/q.safetensors", "?")],
        "safetensors files that the index does not mention: `p.safetensors`, `q.safetensors`",
    )
    directory(
        "unmentioned_file_ignored",
        [*pair, f("m/p.safetensors", "not even read")],
        warns=1,
        ignore_unreferenced=True,
    )
    directory(
        "index_and_whole",
        [*pair, f("m/model.safetensors", one("a"))],
        "expected either `model.safetensors.index.json` or `model.safetensors`, got both",
    )
    directory(
        "index_and_whole_ignored",
        [*pair, f("m/model.safetensors", one("a"))],
        "got both",
        ignore_unreferenced=True,
    )
    directory("two_indexes", [*pair, f("m/other.safetensors.index.json", names(a=x))], warns=1)
    directory("index_of_a_variant", [f("m/model.safetensors.index.fp16.json", names(a=x, b=y)), *pair[:2]])
    directory(
        "two_indexes_that_loaders_read",
        [*pair, f("m/diffusion_pytorch_model.safetensors.index.json", names(a=x))],
        "expected one index, got `diffusion_pytorch_model.safetensors.index.json`, "
        "`model.safetensors.index.json`",
    )
    directory(
        "tensor_in_two_shards",
        [f("m/" + x, one("a")), f("m/" + y, one("a")), f(idx, names(a=y))],
        "that the index does not mention",
    )
    directory(
        "tensor_in_two_mentioned_shards",
        [
            f("m/" + x, one("a")),
            f("m/" + y, shard(f'{{"a":{tensor()},"b":{tensor(offsets="[4,8]")}}}', data=8)),
            f(idx, names(a=x, b=y)),
        ],
        "expected it in one shard, got two: `x.safetensors` and `y.safetensors`",
    )
    directory(
        "tensor_in_two_shards_of_a_set",
        [f(f"m/model-0000{i}-of-00002.safetensors", one("a")) for i in (1, 2)],
        "expected it in one shard, got two",
    )
    directory(
        "tensor_in_another_shard",
        [*pair[:2], f(idx, names(a=y, b=x))],
        "expected it in `y.safetensors`, as the index says, got it in `x.safetensors`",
    )
    directory(
        "tensor_not_there",
        [*pair[:2], f(idx, names(a=x, b=y, c=x))],
        "expected it in `x.safetensors`, as the index says, got no such tensor there",
    )
    directory(
        "tensor_not_in_the_index",
        [
            *pair[:2],
            f("m/z.safetensors", shard(f'{{"c":{tensor()},"d":{tensor(offsets="[4,8]")}}}', data=8)),
            f(idx, names(a=x, b=y, c="z.safetensors")),
        ],
        "expected it in the index, as `z.safetensors` holds it, got no entry",
    )
    many = "{" + ",".join(f'"t{i:02}":{tensor("U8", "[1]", f"[{i},{i + 1}]")}' for i in range(30)) + "}"
    directory(
        "many_tensors_not_in_the_index",
        [f("m/" + x, shard(many, data=30)), f(idx, names(t00=x))],
        "19 more tensors have the same fault",
    )
    directory(
        "all_faults_at_once",
        [
            f("m/" + x, "short"),
            f("m/" + y, shard("{", data=0)),
            f("m/p.safetensors", one()),
            f(idx, names(a=x, b=y, c="z.safetensors")),
        ],
        "1 of 3 shards are missing: `z.safetensors`",
    )
    directory("bad_index", [*pair[:2], f(idx, "{")], "expected a key in double quotes")
    for name, text in {
        "parent": "../x.safetensors", "absolute": "/abs.safetensors", "dots": "..", "dot": ".", "empty": "", "folder": "a/b.safetensors",
        "backslash": "a\\b.safetensors", "drive": "C:x.safetensors", "nul": "x\0.safetensors", "256_bytes": "x" * 244 + ".safetensors",
        "without_suffix": "x",
    }.items():  # fmt: skip
        directory(
            f"shard_name_{name}",
            [f(x, one()), f("m/" + y, one()), f(idx, names(a=text))],
            "expected the name of a file beside the index",
        )

    # Links and things that are no files
    blob = "ab" * 32
    cache = [f(f"r/blobs/{blob}", one("a")), link("r/snapshots/rev/" + x, f"../../blobs/{blob}")]
    directory("link_inside", [f("m/real", one()), link("m/" + x, "real")])
    directory("link_to_a_folder_inside", [f("m/sub/real", one()), link("m/" + x, "sub/real")])
    directory("link_to_the_directory", [f("d/" + x, one()), link("m", "d")])
    directory(
        "hard_link_outside",
        [f("other/real", one()), {"path": "m/" + x, "is": "hard link", "to": "other/real"}],
    )
    directory("cache", cache, path="r/snapshots/rev")
    directory("cache_file", cache, path="r/snapshots/rev/" + x)
    directory(
        "cache_sha1",
        [f(f"r/blobs/{'0f' * 20}", one()), link("r/snapshots/rev/" + x, f"../../blobs/{'0f' * 20}")],
        path="r/snapshots/rev",
    )
    directory(
        "cache_folder",
        [f(f"r/blobs/{blob}", one()), link("r/snapshots/rev/unet/" + x, f"../../../blobs/{blob}")],
        path="r/snapshots/rev/unet",
    )
    directory(
        "cache_of_another_repo",
        [f(f"s/blobs/{blob}", one()), link("r/snapshots/rev/" + x, f"../../../s/blobs/{blob}")],
        "is a link to",
        path="r/snapshots/rev",
    )
    directory(
        "cache_blob_not_a_digest",
        [f("r/blobs/weights", one()), link("r/snapshots/rev/" + x, "../../blobs/weights")],
        "outside the checkpoint",
        path="r/snapshots/rev",
    )
    directory(
        "cache_blob_in_a_folder",
        [f(f"r/blobs/d/{blob}", one()), link("r/snapshots/rev/" + x, f"../../blobs/d/{blob}")],
        "outside the checkpoint",
        path="r/snapshots/rev",
    )
    directory(
        "cache_not_snapshots",
        [f(f"r/blobs/{blob}", one()), link("r/other/rev/" + x, f"../../blobs/{blob}")],
        "outside the checkpoint",
        path="r/other/rev",
    )
    directory(
        "cache_other_revision",
        [f("r/snapshots/old/" + x, one()), link("r/snapshots/rev/" + x, "../old/" + x)],
        "outside the checkpoint",
        path="r/snapshots/rev",
    )
    directory(
        "cache_dangling",
        [link("r/snapshots/rev/" + x, f"../../blobs/{blob}")],
        "which does not exist",
        path="r/snapshots/rev",
    )
    directory(
        "link_outside", [f("other/real", one()), link("m/" + x, "../other/real")], "outside the checkpoint"
    )
    directory(
        "link_outside_as_file",
        [f("other/real", one()), link("m/" + x, "../other/real")],
        "outside the checkpoint",
        path="m/" + x,
    )
    directory(
        "link_outside_allowed",
        [f("other/real", one()), link("m/" + x, "../other/real")],
        warns=1,
        follow_links=True,
    )
    directory(
        "link_to_a_directory_with_a_like_name",
        [f("m2/real", one()), link("m/" + x, "../m2/real")],
        "outside the checkpoint",
    )
    directory(
        "link_of_the_index_outside",
        [*pair[:2], f("other/index", names(a=x, b=y)), link(idx, "../other/index")],
        "outside the checkpoint",
    )
    directory("link_dangling", [link("m/" + x, "gone")], "is a link to `gone`, which does not exist")
    directory("link_dangling_allowed", [link("m/" + x, "gone")], "which does not exist", follow_links=True)
    directory("link_loop", [link("m/" + x, x)], "is a link that cannot be followed")
    directory("link_loop_of_two", [link("m/" + x, "z"), link("m/z", x)], "is a link that cannot be followed")
    for follow in (False, True):
        suffix = "_allowed" if follow else ""
        directory(
            "link_to_zero" + suffix,
            [link("m/" + x, "/dev/zero")],
            "expected a regular file, got a device",
            follow_links=follow,
        )
        directory(
            "link_to_terminal" + suffix,
            [link("m/" + x, "/dev/tty")],
            "expected a regular file, got a device",
            follow_links=follow,
        )
        directory(
            "link_to_fifo" + suffix,
            [node("p", "fifo"), link("m/" + x, "../p")],
            "expected a regular file, got a FIFO",
            follow_links=follow,
        )
        directory(
            "link_to_directory" + suffix,
            [node("d", "directory"), link("m/" + x, "../d")],
            "expected a regular file, got a directory",
            follow_links=follow,
        )
    directory(
        "shard_is_a_directory", [node("m/" + x, "directory")], "expected a regular file, got a directory"
    )
    directory("shard_is_a_fifo", [node("m/" + x, "fifo")], "expected a regular file, got a FIFO")
    directory("shard_is_a_socket", [node("m/" + x, "socket")], "expected a regular file, got a socket")
    directory("index_is_a_fifo", [*pair[:2], node(idx, "fifo")], "expected a regular file, got a FIFO")
    directory(
        "root_is_a_fifo", [node("m", "fifo")], "expected a directory or a .safetensors file, got a FIFO"
    )
    directory("shard_unreadable", [{**f("m/" + x, one()), "is": "unreadable file"}], "Permission denied")


# --- output -----------------------------------------------------------------------------------------------------------


def told(case):
    """The case as JSON: bytes as latin-1 text."""
    case = dict(case)
    if "file" in case:
        case["file"] = [[data.decode("latin-1"), times] for data, times in case["file"]]
    if "entries" in case:
        case["entries"] = [told(entry) for entry in case["entries"]]
    return case


def write_corpus():
    groups = []
    for group, cases in [("headers", headers), ("indexes", indexes), ("directories", directories)]:
        lines = ",\n".join(json.dumps(told(case)) for case in cases)
        groups.append(f'"{group}": [\n{lines}\n]')
    (HERE / "corpus.json").write_text("{" + ",\n".join(groups) + "}\n", encoding="utf-8")


def make(root, entry):
    path = root / entry["path"]
    path.parent.mkdir(parents=True, exist_ok=True)
    match entry["is"]:
        case "file":
            path.write_bytes(whole(entry["file"]))
        case "unreadable file":
            path.write_bytes(whole(entry["file"]))
            path.chmod(0)
        case "link":
            path.symlink_to(entry["to"])
        case "hard link":
            os.link(root / entry["to"], path)
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "socket":
            here = Path.cwd()
            os.chdir(path.parent)  # socket paths are short
            with socket.socket(socket.AF_UNIX) as end:
                end.bind(path.name)
            os.chdir(here)


def write_files(target):
    expected = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
    manifest = []
    folders = {"headers": "model.safetensors", "indexes": "model.safetensors.index.json", "directories": None}
    for (group, file), cases in zip(folders.items(), (headers, indexes, directories), strict=True):
        for case in cases:
            name = f"{group}/{case['name']}"
            folder = target / f"{group}/{len(manifest):03}"
            folder.mkdir(parents=True)
            for entry in case.get("entries", [{"path": file, "is": "file", "file": case.get("file")}]):
                make(folder, entry)
            manifest.append(
                {
                    "name": name,
                    "file": str((folder / case.get("open", file)).relative_to(target)),
                    "options": case.get("options", {}),
                    "expect": "ok" if case["says"] is None else "error",
                    "says": case["says"],
                    "text": expected[name],
                }
            )
    (target / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def write_seeds(target):
    """Small cases as inputs of the fuzz targets; fuzz/targets/header.rs says what the last byte means."""
    texts = {"header": [], "index": [whole(case["file"]) for case in indexes]}
    for file in (whole(case["file"]) for case in headers):
        texts["header"].append(file + b"\0")
        length = int.from_bytes(file[:8], "little")
        if len(file) > 8 and length <= len(file) - 8:
            texts["header"].append(file[8 : 8 + length] + b" ")
    begin, shard = (
        b'{"entry":"begin","plan":"p","inputs":[[[1,2,-3]]]}',
        b'{"entry":"shard","name":"a","tensors":[{}]}',
    )
    rest = [
        shard,
        begin,
        b'{"entry":"tainted","reason":"r"}',
        b'{"entry":"ready","payload":[1,2]}',
        b'{"entry":"swap"}',
    ]
    texts["journal"] = [b"\n".join([begin, *rest[:i]]) + b" " for i in range(6)]
    for group, inputs in texts.items():
        folder = target / group
        folder.mkdir(parents=True, exist_ok=True)
        for i, data in enumerate(dict.fromkeys(data for data in inputs if len(data) <= 4096)):
            (folder / f"{i:04}").write_bytes(data)


def main():
    header_cases()
    index_cases()
    directory_cases()
    for cases in (headers, indexes, directories):
        names = [case["name"] for case in cases]
        assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})
    if sys.argv[1:2] == ["--seeds"]:
        write_seeds(Path(sys.argv[2]))
    elif len(sys.argv) > 1:
        write_files(Path(sys.argv[1]))
    else:
        write_corpus()
    print(len(headers), "headers,", len(indexes), "indexes,", len(directories), "directories")


if __name__ == "__main__":
    main()
