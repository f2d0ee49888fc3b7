#include "schemas/shape_json.hpp"

#include <array>
#include <charconv>
#include <cmath>

#include "schemas/decimal.hpp"
#include "schemas/json_text.hpp"
#include "schemas/shape.hpp"
#include "schemas/table_access.hpp"

namespace millrace::schemas {
namespace {

template <class T>
void append_number(T value, std::string& out) {
  std::array<char, 32> digits;
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
}

template <class T>
void append_real(T value, std::string& out) {
  if (std::isfinite(value)) return append_number(value, out);
  out += std::isnan(value) ? "\"nan\"" : value > 0 ? "\"inf\"" : "\"-inf\"";
}

// 64-bit integers are strings, whatever their value: readers of JSON keep 53 bits of a number.
template <class T>
void append_integer(T value, const ValueShape& shape, std::string& out) {
  if (shape.names != nullptr) {
    if (const auto* named = shape.names->find(static_cast<std::int64_t>(value)); named != nullptr)
      return append_json_string(named->name, out);
  }
  if constexpr (sizeof(T) == 8) {
    out += '"';
    append_number(value, out);
    out += '"';
  } else {
    append_number(value, out);
  }
}

void append_table(const ObjectShape& shape, Address at, std::string& out);

std::uint8_t scale_of(const ValueShape& shape, Address table) {
  const Address scale = table == nullptr ? nullptr : field_at(table, shape.scale_slot);
  return scale == nullptr ? shape.scale_default : *scale;
}

void append_scalar_default(const FieldShape& field, Address table, std::string& out) {
  const auto load_from = [&](const auto& value) {
    append_json_value(field.value, reinterpret_cast<Address>(&value), table, out);
  };
  if (field.value.kind == Kind::f32) return load_from(static_cast<float>(field.default_real));
  if (field.value.kind == Kind::f64) return load_from(field.default_real);
  load_from(field.default_integer);  // little-endian: narrower kinds read its low bytes
}

void append_table(const ObjectShape& shape, Address at, std::string& out) {
  out += '{';
  bool first = true;
  for (const FieldShape& field : shape.fields) {
    if (field.is_scale) continue;
    const Address value = field_at(at, field.slot);
    const bool scalar = field.value.kind <= Kind::decimal;
    if (value == nullptr && (!scalar || field.optional)) continue;
    if (!first) out += ',';
    first = false;
    out += field.json_name;
    if (value == nullptr) {
      append_scalar_default(field, at, out);
    } else {
      append_json_value(field.value, is_inline(field.value.kind) ? value : follow(value), at, out);
    }
  }
  out += '}';
}

}  // namespace

void append_json_value(const ValueShape& shape, Address at, Address table, std::string& out) {
  const auto list = [&](std::uint32_t count, Address first, const ValueShape& element) {
    out += '[';
    for (std::uint32_t i = 0; i < count; ++i) {
      if (i > 0) out += ',';
      const Address each = first + std::size_t{i} * element.size;
      append_json_value(element, is_inline(element.kind) ? each : follow(each), table, out);
    }
    out += ']';
  };
  switch (shape.kind) {
    case Kind::boolean:
      out += *at != 0 ? "true" : "false";
      break;
    case Kind::i8:
      append_integer(load<std::int8_t>(at), shape, out);
      break;
    case Kind::u8:
      append_integer(load<std::uint8_t>(at), shape, out);
      break;
    case Kind::i16:
      append_integer(load<std::int16_t>(at), shape, out);
      break;
    case Kind::u16:
      append_integer(load<std::uint16_t>(at), shape, out);
      break;
    case Kind::i32:
      append_integer(load<std::int32_t>(at), shape, out);
      break;
    case Kind::u32:
      append_integer(load<std::uint32_t>(at), shape, out);
      break;
    case Kind::i64:
      append_integer(load<std::int64_t>(at), shape, out);
      break;
    case Kind::u64:
      append_integer(load<std::uint64_t>(at), shape, out);
      break;
    case Kind::f32:
      append_real(load<float>(at), out);
      break;
    case Kind::f64:
      append_real(load<double>(at), out);
      break;
    case Kind::decimal:
      out += '"';
      append_decimal({load<std::int64_t>(at), scale_of(shape, table)}, out);
      out += '"';
      break;
    case Kind::text:
      append_json_string(text_at(at, shape.size), out);
      break;
    case Kind::string:
      append_json_string(string_at(at), out);
      break;
    case Kind::array:
      list(shape.count, at, *shape.element);
      break;
    case Kind::vector:
      list(vector_size(at), vector_element(at, 0, shape.element->size), *shape.element);
      break;
    case Kind::table:
      append_table(*shape.object, at, out);
      break;
    case Kind::union_:
      if (const auto* member = union_member(shape, table); member != nullptr) {
        append_json_value(member->member, at, nullptr, out);
      } else {
        out += "null";
      }
      break;
    case Kind::structure:
      out += '{';
      for (const FieldShape& field : shape.object->fields) {
        if (out.back() != '{') out += ',';
        out += field.json_name;
        append_json_value(field.value, at + field.slot, table, out);
      }
      out += '}';
      break;
  }
}

void Shape::append_json(std::span<const std::byte> payload, std::string& out) const {
  append_table(*root_, root_of(payload), out);
}

void Shape::append_plain(std::span<const std::byte> payload, const FieldShape& field, std::string& out) const {
  if (field.value.kind == Kind::text || field.value.kind == Kind::string) {
    out += text_of(payload, field);
    return;
  }
  const Address table = root_of(payload);
  const Address at = field_at(table, field.slot);
  const std::size_t begin = out.size();
  if (at == nullptr) {
    append_scalar_default(field, table, out);
  } else {
    append_json_value(field.value, is_inline(field.value.kind) ? at : follow(at), table, out);
  }
  if (out.size() - begin >= 2 && out[begin] == '"') {
    out.pop_back();
    out.erase(begin, 1);
  }
}

std::string_view Shape::text_of(std::span<const std::byte> payload, const FieldShape& field) const {
  const Address at = field_at(root_of(payload), field.slot);
  if (at == nullptr) return {};
  return field.value.kind == Kind::text ? text_at(at, field.value.size) : string_at(follow(at));
}

}  // namespace millrace::schemas
