// An event as a row: the columns of its root table in the order of the schema, for tables, CSV and databases.
//
// Structs, nested tables and fixed arrays are opened out: `a.b`, `bids.0.price`. What has no fixed number of parts is
// one column of JSON: vectors, unions, a table within itself, and what would open out to more than `opened_max`
// columns. Scales have no column; they are part of the decimals.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "schemas/registry.hpp"
#include "schemas/table_access.hpp"

namespace millrace::schemas {

enum class FlatKind : std::uint8_t {
  boolean,
  integer,           // fits an int64
  unsigned_integer,  // a uint64
  real,
  decimal,
  text,
  enumeration,  // by name
  json
};

struct FlatColumn {
  std::string name;
  FlatKind kind;

  // Where it lies: a part of a field of the root table or of one within it.
  std::uint16_t table;
  std::string scale_name;  // of a decimal: what a column of its scale would be called, such as `outer.price_scale`
  const FieldShape* field;
  const ValueShape* value;
  std::uint32_t inside;  // bytes from the field's first
};

// What a row has in one column; texts are valid until the next value is looked at.
struct FlatValue {
  FlatKind kind;
  bool null = false;         // not there, and no default: an optional scalar, a string, a struct, a table
  std::int64_t integer = 0;  // boolean, integer, enumeration; a decimal's mantissa; a uint64's bits
  std::uint8_t scale = 0;    // of a decimal
  double real = 0;
  bool single = false;      // a real of 32 bits: shown with fewer digits
  std::string_view text{};  // of an enumeration empty if the schema does not know its number
};

// Immutable; any thread. Outlived by the event type.
class FlatType {
 public:
  static constexpr std::size_t opened_max = 128;
  static constexpr std::size_t tables_max = 32;

  explicit FlatType(const EventType& type);

  [[nodiscard]] const EventType& type() const { return *type_; }
  [[nodiscard]] std::span<const FlatColumn> columns() const { return columns_; }

  // `take(const FlatColumn&, const FlatValue&)` for each column, in order. `payload` is verified.
  template <class Take>
  void visit(std::span<const std::byte> payload, Take&& take) const {
    Row row(*this, payload);
    for (const FlatColumn& column : columns_) take(column, row.value(column));
  }

  // CSV by RFC 4180, lines ending in '\n', always UTF-8. What is not there is nothing, an empty text is `""`. Without
  // the line's end, so that a caller may put columns of its own before or behind.
  void append_csv_names(std::string& out) const;
  void append_csv(std::span<const std::byte> payload, std::string& out) const;

 private:
  friend class FlatBuilder;

  struct NestedTable {
    std::uint16_t parent;
    std::uint16_t slot;
  };

  class Row {
   public:
    Row(const FlatType& type, std::span<const std::byte> payload);
    [[nodiscard]] FlatValue value(const FlatColumn& column);

   private:
    std::array<Address, tables_max> tables_;
    const FieldShape* field_ = nullptr;  // whose place is known
    std::uint16_t table_ = 0;            // likewise: the same table type may stand in two places
    Address at_ = nullptr;
    std::string json_;
  };

  const EventType* type_;
  std::vector<FlatColumn> columns_;
  std::vector<NestedTable> tables_;  // the first is the root
};

// The columns, before its own, that say where an event stands in a log. One whose name the event has itself is called
// log_<name>.
inline constexpr const char* place_names[] = {"offset", "record_time", "publisher", "sequence"};
[[nodiscard]] std::string place_name(std::string_view name, const std::vector<std::string>& columns);

// The value's field; nothing if it is null.
void append_csv_value(const FlatValue& value, std::string& out);
// A name or text as a CSV field: quoted if it must be, or is empty.
void append_csv_text(std::string_view text, std::string& out);

}  // namespace millrace::schemas
