"""XXH3 with 64 bits and seed 0, of at least 17 bytes, as the log's checksums are. Takes the module xxhash if it is
there; what stands below is much slower, and fast enough for what is not known to be on the disk."""

import struct

import numpy as np

try:
    import xxhash
except ImportError:
    xxhash = None

P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
MASK = (1 << 64) - 1
SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")
STRIPE, BLOCK = 64, 1024
LOW = np.uint64(0xFFFFFFFF)
SWAPPED = np.array([1, 0, 3, 2, 5, 4, 7, 6])


def lanes(data, at):
    return np.frombuffer(data, "<u8", 8, at)


KEYS = np.stack([lanes(SECRET, 8 * i) for i in range(BLOCK // STRIPE)])


def fold(a, b):
    product = a * b
    return (product ^ (product >> 64)) & MASK


def mix(data, at, secret_at):
    low, high = struct.unpack_from("<QQ", data, at)
    key_low, key_high = struct.unpack_from("<QQ", SECRET, secret_at)
    return fold(low ^ key_low, high ^ key_high)


def avalanche(value):
    value &= MASK
    value ^= value >> 37
    value = value * 0x165667919E3779F9 & MASK
    return value ^ (value >> 32)


def short(data):
    size = len(data)
    value = size * P64_1
    if size <= 128:
        for i in range((size - 1) // 32 + 1):
            value += mix(data, 16 * i, 32 * i) + mix(data, size - 16 * (i + 1), 32 * i + 16)
        return avalanche(value)
    value = avalanche(value + sum(mix(data, 16 * i, 16 * i) for i in range(8)))
    value += sum(mix(data, 16 * i, 16 * (i - 8) + 3) for i in range(8, size // 16))
    return avalanche(value + mix(data, size - 16, 136 - 17))


def contributions(data, keys):
    keyed = data ^ keys
    return data[..., SWAPPED] + (keyed & LOW) * (keyed >> np.uint64(32))


def long(data):
    size = len(data)
    sums = np.array([P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1], "u8")
    blocks = (size - 1) // BLOCK
    scramble = lanes(SECRET, 128)
    whole = np.frombuffer(data, "<u8", blocks * BLOCK // 8).reshape(blocks, BLOCK // STRIPE, 8)
    for block in contributions(whole, KEYS).sum(axis=1, dtype="u8"):
        sums += block
        sums ^= sums >> np.uint64(47)
        sums ^= scramble
        sums *= np.uint64(P32_1)
    stripes = (size - 1 - blocks * BLOCK) // STRIPE
    rest = np.frombuffer(data, "<u8", stripes * 8, blocks * BLOCK).reshape(stripes, 8)
    sums += contributions(rest, KEYS[:stripes]).sum(axis=0, dtype="u8")
    sums += contributions(lanes(data, size - STRIPE), lanes(SECRET, 192 - STRIPE - 7))
    keys = struct.unpack_from("<8Q", SECRET, 11)
    merged = [int(lane) ^ key for lane, key in zip(sums, keys)]
    return avalanche(size * P64_1 + sum(fold(merged[i], merged[i + 1]) for i in range(0, 8, 2)))


def digest(data):
    if xxhash is not None:
        return xxhash.xxh3_64_intdigest(data)
    return short(data) if len(data) <= 240 else long(data)
