// A binary schema compiled once, at start, into flat lists of fields: where each lies, what it is, how JSON shows it.
// The one walk over them verifies, prints and builds events of built-in and of users' types alike.
//
// The conventions that attributes stand for are applied here: a struct that only wraps a text or an array is that text
// or array; a field that others name as their decimal scale is hidden, being the digits after their point.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bus/base/result.hpp"

namespace millrace::schemas {

struct ObjectShape;
struct EnumShape;

enum class Kind : std::uint8_t {
  boolean,
  i8,
  u8,
  i16,
  u16,
  i32,
  u32,
  i64,
  u64,
  f32,
  f64,
  decimal,  // int64 mantissa, scale in a field of the table that holds it
  text,     // fixed bytes, zero padded
  structure,
  array,
  string,
  vector,
  table,
  union_  // behind an offset
};
[[nodiscard]] constexpr bool is_inline(Kind kind) {
  return kind < Kind::string;
}
[[nodiscard]] constexpr bool is_integer(Kind kind) {
  return kind >= Kind::i8 && kind <= Kind::u64;
}

// Has one value that can be shown without quotes.
[[nodiscard]] constexpr bool is_plain(Kind kind) {
  return kind == Kind::text || kind == Kind::string || kind == Kind::boolean || is_integer(kind);
}

struct ValueShape {
  Kind kind{};
  std::uint32_t size = 0;  // bytes where it lies: in a table, struct, array or vector; 4 for an offset
  std::uint32_t align = 1;
  std::uint32_t count = 0;              // of an array
  std::uint16_t scale_slot = 0;         // of a decimal: slot of its scale in the table that holds it
  std::uint8_t scale_default = 0;       // where that slot is empty
  std::uint16_t type_slot = 0;          // of a union: slot of the field that says which
  const EnumShape* names = nullptr;     // of an integer that is an enum; of a union, its members
  const ObjectShape* object = nullptr;  // of a structure or table
  const ValueShape* element = nullptr;  // of an array or vector
};

struct FieldShape {
  std::string name;
  std::string json_name;   // `"name":`
  std::string also;        // second name for filters
  std::uint16_t slot = 0;  // table: slot in the vtable; struct: offset in bytes
  bool required = false;
  bool optional = false;         // a scalar that may be null
  bool is_key = false;           // has the attribute event_key
  bool is_snapshot_key = false;  // has the attribute snapshot_key
  bool is_scale = false;         // hidden from JSON
  std::int64_t default_integer = 0;
  double default_real = 0;
  ValueShape value;
};

struct ObjectShape {
  std::string name;
  std::vector<FieldShape> fields;  // as declared; without deprecated ones
  bool fixed = false;              // a table with nothing behind an offset

  [[nodiscard]] const FieldShape* find(std::string_view field) const;
};

struct EnumShape {
  struct Value {
    std::int64_t number;
    std::string name;
    ValueShape member;  // of a union; kind structure, table or string
  };
  std::string name;
  std::vector<Value> values;  // ascending

  [[nodiscard]] const Value* find(std::int64_t number) const;
  [[nodiscard]] const Value* find(std::string_view value_name) const;
};

// Immutable once compiled; any thread.
class Shape {
 public:
  // `bfbs` is verified first. `root_table` and `key_field` as in Registry::add_user_schema. `origin` names the schema
  // in error messages.
  [[nodiscard]] static Result<std::unique_ptr<Shape>> compile(std::span<const std::byte> bfbs,
                                                              std::string_view root_table, std::string_view key_field,
                                                              std::string_view origin);

  [[nodiscard]] const ObjectShape& root() const { return *root_; }
  [[nodiscard]] const FieldShape* key() const { return key_; }  // a text, string or integer of the root; or nullptr
  // Those that name, with key(), what an event is the newest word on: texts, strings, integers and booleans of the
  // root.
  [[nodiscard]] const std::vector<const FieldShape*>& snapshot_keys() const { return snapshot_keys_; }
  [[nodiscard]] std::span<const std::byte> bfbs() const { return bfbs_; }

  // Also bounds what sharing can blow up: an event that would unfold to more than 16 times its size is refused.
  [[nodiscard]] bool verify(std::span<const std::byte> payload) const;
  // The rest want a verified payload.
  void append_json(std::span<const std::byte> payload, std::string& out) const;
  // One root field alone, texts and strings without quotes or escapes.
  void append_plain(std::span<const std::byte> payload, const FieldShape& field, std::string& out) const;
  // The bytes of a root field that is a text or string; empty if it is not there.
  [[nodiscard]] std::string_view text_of(std::span<const std::byte> payload, const FieldShape& field) const;

  [[nodiscard]] Result<std::vector<std::byte>> from_json(std::string_view json) const;
  // An event whose every field is at its default, and in its slot if the shape is fixed.
  [[nodiscard]] Result<std::vector<std::byte>> empty_event() const;

 private:
  friend class ShapeCompiler;
  Shape() = default;

  std::vector<std::byte> bfbs_;
  std::string file_identifier_;
  std::deque<ObjectShape> objects_;  // deques: what they hold points to each other
  std::deque<EnumShape> enums_;
  std::deque<ValueShape> elements_;
  const ObjectShape* root_ = nullptr;
  const FieldShape* key_ = nullptr;
  std::vector<const FieldShape*> snapshot_keys_;
};

}  // namespace millrace::schemas
