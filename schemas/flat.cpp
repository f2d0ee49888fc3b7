#include "schemas/flat.hpp"

#include <strings.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "schemas/decimal.hpp"
#include "schemas/json_text.hpp"
#include "schemas/shape_json.hpp"

namespace millrace::schemas {
namespace {

FlatKind kind_of(const ValueShape& value) {
  switch (value.kind) {
    case Kind::boolean:
      return FlatKind::boolean;
    case Kind::f32:
    case Kind::f64:
      return FlatKind::real;
    case Kind::decimal:
      return FlatKind::decimal;
    case Kind::text:
    case Kind::string:
      return FlatKind::text;
    default:
      if (!is_integer(value.kind)) return FlatKind::json;
      if (value.names != nullptr) return FlatKind::enumeration;
      return value.kind == Kind::u64 ? FlatKind::unsigned_integer : FlatKind::integer;
  }
}

std::int64_t load_integer(Kind kind, Address at) {
  switch (kind) {
    case Kind::i8:
      return load<std::int8_t>(at);
    case Kind::i16:
      return load<std::int16_t>(at);
    case Kind::u16:
      return load<std::uint16_t>(at);
    case Kind::i32:
      return load<std::int32_t>(at);
    case Kind::u32:
      return load<std::uint32_t>(at);
    case Kind::i64:
    case Kind::u64:
    case Kind::decimal:
      return load<std::int64_t>(at);
    default:  // boolean, u8
      return *at;
  }
}

template <class Number>
void append_number(Number value, std::string& out) {
  std::array<char, 32> digits;
  out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
}

void append_real(const FlatValue& value, std::string& out) {
  if (std::isnan(value.real)) {
    out += "nan";
  } else if (std::isinf(value.real)) {
    out += value.real > 0 ? "inf" : "-inf";
  } else if (value.single) {
    append_number(static_cast<float>(value.real), out);
  } else {
    append_number(value.real, out);
  }
}

}  // namespace

class FlatBuilder {
 public:
  explicit FlatBuilder(FlatType& flat) : flat_(flat) {}

  void root(const ObjectShape& object) {
    flat_.tables_.push_back({0, 0});
    table(object, 0, "");
  }

 private:
  void table(const ObjectShape& object, std::uint16_t index, const std::string& prefix) {
    const std::string outer = std::exchange(prefix_, prefix);
    path_.push_back(&object);
    for (const FieldShape& field : object.fields) {
      if (!field.is_scale) value(field, field.value, index, object, 0, prefix + field.name);
    }
    path_.pop_back();
    prefix_ = outer;
  }

  void value(const FieldShape& field, const ValueShape& value, std::uint16_t index, const ObjectShape& holder,
             std::uint32_t inside, const std::string& name) {
    const bool opened = leaves(value) <= FlatType::opened_max;
    if (opened && value.kind == Kind::structure) {
      for (const FieldShape& part : value.object->fields)
        this->value(field, part.value, index, holder, inside + part.slot, name + '.' + part.name);
    } else if (opened && value.kind == Kind::array) {
      for (std::uint32_t i = 0; i < value.count; ++i)
        this->value(field, *value.element, index, holder, inside + i * value.element->size,
                    name + '.' + std::to_string(i));
    } else if (opened && value.kind == Kind::table && flat_.tables_.size() < FlatType::tables_max) {
      flat_.tables_.push_back({index, field.slot});
      table(*value.object, static_cast<std::uint16_t>(flat_.tables_.size() - 1), name + '.');
    } else {
      std::string scale;
      if (value.kind == Kind::decimal) {
        for (const FieldShape& each : holder.fields)
          if (each.slot == value.scale_slot) scale = prefix_ + each.name;
      }
      flat_.columns_.push_back({name, kind_of(value), index, scale, &field, &value, inside});
    }
  }

  // How many columns it opens out to; more than allowed if it has no end.
  std::size_t leaves(const ValueShape& value) {
    constexpr std::size_t many = FlatType::opened_max + 1;
    if (value.kind == Kind::array) return std::min(many, value.count * leaves(*value.element));
    if (value.kind != Kind::structure && value.kind != Kind::table) return 1;
    if (std::ranges::find(path_, value.object) != path_.end()) return many;
    path_.push_back(value.object);
    std::size_t sum = 0;
    for (const FieldShape& field : value.object->fields) {
      if (sum >= many) break;
      if (!field.is_scale) sum += leaves(field.value);
    }
    path_.pop_back();
    return std::clamp<std::size_t>(sum, 1, many);  // an empty one counts, so that the search has an end
  }

  FlatType& flat_;
  std::string prefix_;                    // of the names in the table we are in
  std::vector<const ObjectShape*> path_;  // what we are in
};

FlatType::FlatType(const EventType& type) : type_(&type) {
  FlatBuilder(*this).root(type.shape().root());
}

FlatType::Row::Row(const FlatType& type, std::span<const std::byte> payload) {
  tables_[0] = root_of(payload);
  for (std::size_t i = 1; i < type.tables_.size(); ++i) {
    const Address parent = tables_[type.tables_[i].parent];
    const Address at = parent == nullptr ? nullptr : field_at(parent, type.tables_[i].slot);
    tables_[i] = at == nullptr ? nullptr : follow(at);
  }
}

FlatValue FlatType::Row::value(const FlatColumn& column) {
  const Address table = tables_[column.table];
  if (field_ != column.field || table_ != column.table) {
    field_ = column.field;
    table_ = column.table;
    at_ = table == nullptr ? nullptr : field_at(table, field_->slot);
  }
  const ValueShape& shape = *column.value;
  FlatValue value{.kind = column.kind};
  // A scalar of a table that is there has its default; parts of structs have none.
  const bool absent = at_ == nullptr;
  if (absent && (table == nullptr || shape.kind > Kind::decimal || field_->optional || &field_->value != &shape)) {
    value.null = true;
    return value;
  }
  const Address at = absent ? nullptr : at_ + column.inside;
  switch (column.kind) {
    case FlatKind::boolean:
    case FlatKind::integer:
    case FlatKind::unsigned_integer:
      value.integer = absent ? field_->default_integer : load_integer(shape.kind, at);
      break;
    case FlatKind::enumeration:
      value.integer = absent ? field_->default_integer : load_integer(shape.kind, at);
      if (const auto* named = shape.names->find(value.integer); named != nullptr) value.text = named->name;
      break;
    case FlatKind::real:
      value.single = shape.kind == Kind::f32;
      value.real = absent ? field_->default_real : value.single ? double{load<float>(at)} : load<double>(at);
      break;
    case FlatKind::decimal: {
      value.integer = absent ? field_->default_integer : load_integer(shape.kind, at);
      const Address scale = field_at(table, shape.scale_slot);
      value.scale = scale == nullptr ? shape.scale_default : *scale;
      break;
    }
    case FlatKind::text:
      value.text = shape.kind == Kind::text ? text_at(at, shape.size) : string_at(follow(at));
      break;
    case FlatKind::json:
      // A member that a later schema added to the union.
      if (shape.kind == Kind::union_ && union_member(shape, table) == nullptr) {
        value.null = true;
        break;
      }
      json_.clear();
      append_json_value(shape, is_inline(shape.kind) ? at : follow(at), table, json_);
      value.text = json_;
      break;
  }
  return value;
}

// Without regard to case, as databases have it.
std::string place_name(std::string_view name, const std::vector<std::string>& columns) {
  std::string placed(name);
  const auto taken = [&](const std::string& column) { return ::strcasecmp(column.c_str(), placed.c_str()) == 0; };
  while (std::ranges::any_of(columns, taken)) placed.insert(0, "log_");
  return placed;
}

void append_csv_text(std::string_view text, std::string& out) {
  const auto plain = [](char c) {
    return static_cast<unsigned char>(c) < 0x80 && c != '"' && c != ',' && c != '\n' && c != '\r';
  };
  if (!text.empty() && std::ranges::all_of(text, plain)) {
    out += text;
    return;
  }
  out += '"';
  for (std::size_t quote = text.find('"'); quote != std::string_view::npos; quote = text.find('"')) {
    append_utf8(text.substr(0, quote + 1), out);
    out += '"';
    text.remove_prefix(quote + 1);
  }
  append_utf8(text, out);
  out += '"';
}

void FlatType::append_csv_names(std::string& out) const {
  for (const FlatColumn& column : columns_) {
    if (&column != columns_.data()) out += ',';
    append_csv_text(column.name, out);
  }
}

void FlatType::append_csv(std::span<const std::byte> payload, std::string& out) const {
  bool first = true;
  visit(payload, [&](const FlatColumn&, const FlatValue& value) {
    if (!first) out += ',';
    first = false;
    append_csv_value(value, out);
  });
}

void append_csv_value(const FlatValue& value, std::string& out) {
  if (value.null) return;
  switch (value.kind) {
    case FlatKind::boolean:
      out += value.integer != 0 ? "true" : "false";
      break;
    case FlatKind::integer:
      append_number(value.integer, out);
      break;
    case FlatKind::unsigned_integer:
      append_number(static_cast<std::uint64_t>(value.integer), out);
      break;
    case FlatKind::enumeration:
      if (value.text.empty()) {
        append_number(value.integer, out);
      } else {
        append_csv_text(value.text, out);
      }
      break;
    case FlatKind::real:
      append_real(value, out);
      break;
    case FlatKind::decimal:
      append_decimal({value.integer, value.scale}, out);
      break;
    case FlatKind::text:
    case FlatKind::json:
      append_csv_text(value.text, out);
      break;
  }
}

}  // namespace millrace::schemas
