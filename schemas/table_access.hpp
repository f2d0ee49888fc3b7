// Reading FlatBuffers memory by slot and address. Copies scalars out, so it asks for no alignment.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cstdint>
#include <cstring>

#include "schemas/shape.hpp"

namespace millrace::schemas {

using Address = const std::uint8_t*;

template <class T>
[[nodiscard]] T load(Address at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Where the field of `table` lies; nullptr if it is not there.
[[nodiscard]] inline Address field_at(Address table, std::uint16_t slot) {
  const auto offset = reinterpret_cast<const flatbuffers::Table*>(table)->GetOptionalFieldOffset(slot);
  return offset == 0 ? nullptr : table + offset;
}

// What the offset stored at `at` points to.
[[nodiscard]] inline Address follow(Address at) {
  return at + load<flatbuffers::uoffset_t>(at);
}

// The i-th element of a vector.
[[nodiscard]] inline std::uint32_t vector_size(Address vector) {
  return load<flatbuffers::uoffset_t>(vector);
}
[[nodiscard]] inline Address vector_element(Address vector, std::uint32_t index, std::uint32_t element_size) {
  return vector + sizeof(flatbuffers::uoffset_t) + std::size_t{index} * element_size;
}

[[nodiscard]] inline std::string_view string_at(Address string) {
  return {reinterpret_cast<const char*>(string + sizeof(flatbuffers::uoffset_t)), vector_size(string)};
}
[[nodiscard]] inline std::string_view text_at(Address text, std::size_t size) {
  const char* const begin = reinterpret_cast<const char*>(text);
  return {begin, strnlen(begin, size)};
}

[[nodiscard]] inline Address root_of(std::span<const std::byte> payload) {
  return follow(reinterpret_cast<Address>(payload.data()));
}

// Which member a union holds; nullptr if none or one this schema does not know.
[[nodiscard]] inline const EnumShape::Value* union_member(const ValueShape& shape, Address table) {
  const Address type = field_at(table, shape.type_slot);
  return type == nullptr || *type == 0 ? nullptr : shape.names->find(std::int64_t{*type});
}

}  // namespace millrace::schemas
