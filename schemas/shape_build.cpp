// From JSON to a FlatBuffer, by the same lists of fields that print one.
#include <flatbuffers/flexbuffers.h>
#include <flatbuffers/idl.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "schemas/decimal.hpp"
#include "schemas/shape.hpp"
#include "schemas/table_access.hpp"

namespace millrace::schemas {
namespace {

using Json = flexbuffers::Reference;
using flatbuffers::uoffset_t;
using Scales = std::map<std::uint16_t, std::uint8_t>;  // digits after the point, by the slot of the scale

tl::unexpected<Error> wrong(const std::string& path, const std::string& what) {
  return fail(ErrorCode::invalid_argument, (path.empty() ? "the event" : "field '" + path + "'") + " " + what);
}

std::string_view string_of(const Json& json) {
  const auto string = json.AsString();
  return {string.c_str(), string.length()};
}

std::string shown(const Json& json) {
  std::string text = json.IsString() ? '"' + std::string(string_of(json)) + '"' : std::string(json.ToString());
  if (text.size() > 60) text = text.substr(0, 60) + "...";
  return text;
}

std::string joined(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : path + '.' + std::string(name);
}

template <class T>
void store(T value, std::byte* into) {
  std::memcpy(into, &value, sizeof value);
}

template <class T>
Status store_integer(const ValueShape& shape, const Json& json, std::byte* into, const std::string& path) {
  const auto out_of_range = [&] {
    return wrong(path,
                 "is " + shown(json) + ", which its " + std::to_string(8 * sizeof(T)) + "-bit integer does not hold");
  };
  if (json.IsString()) {
    const std::string_view text = string_of(json);
    if (shape.names != nullptr) {
      if (const auto* named = shape.names->find(text); named != nullptr)
        return store(static_cast<T>(named->number), into), Status{};
    }
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc::result_out_of_range) return out_of_range();
    if (error == std::errc{} && end == text.data() + text.size()) return store(value, into), Status{};
    if (shape.names == nullptr) return wrong(path, "wants an integer, not " + shown(json));
    std::string names;
    for (const auto& each : shape.names->values) names += (names.empty() ? "" : ", ") + each.name;
    return wrong(path, "is " + shown(json) + "; it may be " + names);
  }
  if (json.IsUInt() ? std::in_range<T>(json.AsUInt64()) : json.IsInt() && std::in_range<T>(json.AsInt64()))
    return store(json.IsUInt() ? static_cast<T>(json.AsUInt64()) : static_cast<T>(json.AsInt64()), into), Status{};
  if (json.IsIntOrUint()) return out_of_range();
  return wrong(path, "wants an integer, not " + shown(json));
}

template <class T>
Status store_real(const Json& json, std::byte* into, const std::string& path) {
  if (json.IsNumeric()) return store(static_cast<T>(json.AsDouble()), into), Status{};
  T value{};
  if (json.IsString()) {
    const std::string_view text = string_of(json);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc{} && end == text.data() + text.size()) return store(value, into), Status{};
  }
  return wrong(path, "wants a number, not " + shown(json));
}

std::optional<Decimal> decimal_of(const Json& json) {
  if (json.IsString()) return parse_decimal(string_of(json));
  if (json.IsInt()) return Decimal{json.AsInt64(), 0};
  return std::nullopt;
}

// From its opening brace to the one that closes it, and nothing after: the parser below stops there without a look.
bool is_one_object(std::string_view json) {
  constexpr std::string_view space = " \t\r\n";
  json.remove_prefix(std::min(json.find_first_not_of(space), json.size()));
  json = json.substr(0, json.find_last_not_of(space) + 1);
  if (!json.starts_with('{') || json.find('\0') != std::string_view::npos) return false;
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && c == '{') {
      ++depth;
    } else if (!quoted && c == '}' && --depth == 0) {
      return i + 1 == json.size();
    }
  }
  return false;
}

class EventBuilder {
 public:
  [[nodiscard]] Result<std::vector<std::byte>> event(const ObjectShape& root, const Json& json,
                                                     const std::string& identifier) {
    auto table = this->table(root, json, "");
    if (!table) return fail(std::move(table).error());
    builder_.Finish(flatbuffers::Offset<void>(*table), identifier.empty() ? nullptr : identifier.c_str());
    const auto* const begin = reinterpret_cast<const std::byte*>(builder_.GetBufferPointer());
    std::vector<std::byte> bytes(begin, begin + builder_.GetSize());
    // Payloads begin and end at multiples of 8, also those of types without a field of 8 bytes.
    bytes.resize((bytes.size() + 7) / 8 * 8);
    return bytes;
  }

 private:
  using Offset = Result<uoffset_t>;

  [[nodiscard]] Offset table(const ObjectShape& shape, const Json& json, const std::string& path) {
    if (!json.IsMap()) return wrong(path, "wants an object, not " + shown(json));
    const auto map = json.AsMap();
    MILLRACE_TRY(known_fields(shape, map, path));
    Scales scales;
    for (const FieldShape& field : shape.fields) {
      const Json value = map[field.name.c_str()];
      if (!value.IsNull()) MILLRACE_TRY(collect_scales(field.value, value, joined(path, field.name), scales));
    }

    // What stands behind offsets is made first, then the table.
    std::map<std::uint16_t, uoffset_t> targets;
    std::vector<const FieldShape*> inline_fields;
    for (const FieldShape& field : shape.fields) {
      const Json value = map[field.name.c_str()];
      if (is_inline(field.value.kind)) {
        inline_fields.push_back(&field);
      } else if (!value.IsNull()) {
        auto target = this->target(field.value, value, map, shape, joined(path, field.name), scales);
        if (!target) return target;
        targets[field.slot] = *target;
      } else if (field.required) {
        return wrong(joined(path, field.name), "is required and missing");
      }
    }
    // The widest first, which is last in memory, so that little is lost to alignment.
    std::ranges::stable_sort(inline_fields, std::ranges::greater{},
                             [](const auto* field) { return field->value.align; });

    std::vector<std::pair<const FieldShape*, std::vector<std::byte>>> filled;
    for (const FieldShape* field : inline_fields) {
      const Json value = map[field->name.c_str()];
      const auto scale = scales.find(field->slot);
      if (value.IsNull() && scale == scales.end() && !(shape.fixed && !field->optional)) {
        if (field->required) return wrong(joined(path, field->name), "is required and missing");
        continue;
      }
      std::vector<std::byte> bytes(field->value.size);
      if (field->is_scale) {
        bytes[0] = std::byte(scale == scales.end() ? field->default_integer : scale->second);
      } else if (!value.IsNull()) {
        MILLRACE_TRY(fill(field->value, value, bytes.data(), joined(path, field->name), scales));
      } else if (field->value.kind == Kind::f32) {
        store(static_cast<float>(field->default_real), bytes.data());
      } else if (field->value.kind == Kind::f64) {
        store(field->default_real, bytes.data());
      } else if (field->value.kind <= Kind::decimal) {
        std::memcpy(bytes.data(), &field->default_integer, bytes.size());
      }
      filled.emplace_back(field, std::move(bytes));
    }

    const uoffset_t start = builder_.StartTable();
    for (const auto& [field, bytes] : filled) {
      builder_.Align(field->value.align);
      builder_.PushBytes(reinterpret_cast<Address>(bytes.data()), bytes.size());
      builder_.AddStructOffset(field->slot, builder_.GetSize());
    }
    for (const auto& [slot, target] : targets) builder_.AddOffset(slot, flatbuffers::Offset<void>(target));
    return builder_.EndTable(start);
  }

  template <class Map>
  [[nodiscard]] static Status known_fields(const ObjectShape& shape, const Map& map, const std::string& path) {
    const auto keys = map.Keys();
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const std::string name = keys[i].AsKey();
      const FieldShape* field = shape.find(name);
      if (field == nullptr) return wrong(joined(path, name), "is not in " + shape.name);
      if (field->is_scale)
        return wrong(joined(path, name), "is not given by itself: it is the digits after the point of its decimals");
    }
    return {};
  }

  // All decimals that share a scale get the most digits that any of them shows.
  [[nodiscard]] static Status collect_scales(const ValueShape& shape, const Json& json, const std::string& path,
                                             Scales& scales) {
    if (shape.kind == Kind::decimal) {
      const auto value = decimal_of(json);
      if (!value)
        return wrong(path, "wants a decimal that fits 64 bits, as a string such as \"1808.080\", not " + shown(json));
      std::uint8_t& scale = scales[shape.scale_slot];
      scale = std::max(scale, value->scale);
    } else if (shape.element != nullptr && json.IsVector()) {
      const auto list = json.AsVector();
      if (shape.element->kind == Kind::table || !is_inline(shape.element->kind)) return {};
      for (std::size_t i = 0; i < list.size(); ++i)
        MILLRACE_TRY(collect_scales(*shape.element, list[i], path + '[' + std::to_string(i) + ']', scales));
    } else if (shape.kind == Kind::structure && json.IsMap()) {
      const auto map = json.AsMap();
      for (const FieldShape& field : shape.object->fields) {
        const Json value = map[field.name.c_str()];
        if (!value.IsNull()) MILLRACE_TRY(collect_scales(field.value, value, joined(path, field.name), scales));
      }
    }
    return {};
  }

  template <class Map>
  [[nodiscard]] Offset target(const ValueShape& shape, const Json& json, const Map& holder, const ObjectShape& table,
                              const std::string& path, const Scales& scales) {
    switch (shape.kind) {
      case Kind::table:
        return this->table(*shape.object, json, path);
      case Kind::string:
        if (!json.IsString()) return wrong(path, "wants a string, not " + shown(json));
        return builder_.CreateString(string_of(json)).o;
      case Kind::vector:
        return vector(*shape.element, json, path, scales);
      default:
        break;
    }
    // A union: its type stands in a field of its own.
    const auto type = std::ranges::find(table.fields, shape.type_slot, &FieldShape::slot);
    std::byte number{};
    if (type == table.fields.end() || holder[type->name.c_str()].IsNull())
      return wrong(path, "is a union; say which member in '" + path + "_type'");
    MILLRACE_TRY(store_integer<std::uint8_t>(type->value, holder[type->name.c_str()], &number, joined("", type->name)));
    const auto* member = shape.names->find(std::to_integer<std::int64_t>(number));
    if (member == nullptr || member->number == 0) return wrong(path, "has a value although its type says none");
    if (member->member.kind != Kind::structure) return target(member->member, json, holder, table, path, scales);
    std::vector<std::byte> bytes(member->member.size);
    MILLRACE_TRY(fill(member->member, json, bytes.data(), path, scales));
    builder_.Align(member->member.align);
    builder_.PushBytes(reinterpret_cast<Address>(bytes.data()), bytes.size());
    return builder_.GetSize();
  }

  [[nodiscard]] Offset vector(const ValueShape& element, const Json& json, const std::string& path,
                              const Scales& scales) {
    if (!json.IsUntypedVector()) return wrong(path, "wants a list, not " + shown(json));
    const auto list = json.AsVector();
    const auto at = [&](std::size_t i) { return path + '[' + std::to_string(i) + ']'; };
    if (is_inline(element.kind)) {
      std::vector<std::byte> bytes(list.size() * element.size);
      for (std::size_t i = 0; i < list.size(); ++i)
        MILLRACE_TRY(fill(element, list[i], bytes.data() + i * element.size, at(i), scales));
      builder_.StartVector(bytes.size() / element.align, element.align);
      builder_.PushBytes(reinterpret_cast<Address>(bytes.data()), bytes.size());
      return builder_.EndVector(list.size());
    }
    std::vector<uoffset_t> targets;
    for (std::size_t i = 0; i < list.size(); ++i) {
      auto target = element.kind == Kind::table ? this->table(*element.object, list[i], at(i))
                    : list[i].IsString()        ? Offset(builder_.CreateString(string_of(list[i])).o)
                                                : Offset(wrong(at(i), "wants a string, not " + shown(list[i])));
      if (!target) return target;
      targets.push_back(*target);
    }
    builder_.StartVector(targets.size(), sizeof(uoffset_t));
    for (auto target = targets.rbegin(); target != targets.rend(); ++target)
      builder_.PushElement(flatbuffers::Offset<void>(*target));
    return builder_.EndVector(targets.size());
  }

  [[nodiscard]] static Status fill(const ValueShape& shape, const Json& json, std::byte* into, const std::string& path,
                                   const Scales& scales) {
    switch (shape.kind) {
      case Kind::boolean:
        if (!json.IsBool()) return wrong(path, "wants true or false, not " + shown(json));
        store(static_cast<std::uint8_t>(json.AsBool()), into);
        return {};
      case Kind::i8:
        return store_integer<std::int8_t>(shape, json, into, path);
      case Kind::u8:
        return store_integer<std::uint8_t>(shape, json, into, path);
      case Kind::i16:
        return store_integer<std::int16_t>(shape, json, into, path);
      case Kind::u16:
        return store_integer<std::uint16_t>(shape, json, into, path);
      case Kind::i32:
        return store_integer<std::int32_t>(shape, json, into, path);
      case Kind::u32:
        return store_integer<std::uint32_t>(shape, json, into, path);
      case Kind::i64:
        return store_integer<std::int64_t>(shape, json, into, path);
      case Kind::u64:
        return store_integer<std::uint64_t>(shape, json, into, path);
      case Kind::f32:
        return store_real<float>(json, into, path);
      case Kind::f64:
        return store_real<double>(json, into, path);
      case Kind::decimal: {
        const auto scale = scales.find(shape.scale_slot);
        const auto value = decimal_of(json);
        const auto mantissa = value && scale != scales.end() ? rescale(*value, scale->second) : std::nullopt;
        if (!mantissa)
          return wrong(path, "is " + shown(json) + ", too large for 64 bits with the digits after the point it shares");
        return store(*mantissa, into), Status{};
      }
      case Kind::text: {
        if (!json.IsString()) return wrong(path, "wants a string, not " + shown(json));
        const std::string_view text = string_of(json);
        if (text.size() > shape.size)
          return wrong(path, "is " + std::to_string(text.size()) + " bytes, it may have " + std::to_string(shape.size));
        if (text.find('\0') != std::string_view::npos) return wrong(path, "has a zero byte, which would end it");
        std::memcpy(into, text.data(), text.size());
        return {};
      }
      case Kind::array: {
        if (!json.IsUntypedVector() || json.AsVector().size() > shape.count)
          return wrong(path, "wants a list of at most " + std::to_string(shape.count) + ", not " + shown(json));
        const auto list = json.AsVector();
        for (std::size_t i = 0; i < list.size(); ++i)
          MILLRACE_TRY(fill(*shape.element, list[i], into + i * shape.element->size,
                            path + '[' + std::to_string(i) + ']', scales));
        return {};
      }
      case Kind::structure: {
        if (!json.IsMap()) return wrong(path, "wants an object, not " + shown(json));
        const auto map = json.AsMap();
        MILLRACE_TRY(known_fields(*shape.object, map, path));
        for (const FieldShape& field : shape.object->fields) {
          const Json value = map[field.name.c_str()];
          if (!value.IsNull())
            MILLRACE_TRY(fill(field.value, value, into + field.slot, joined(path, field.name), scales));
        }
        return {};
      }
      default:
        return wrong(path, "is of a kind that cannot stand here");
    }
  }

  flatbuffers::FlatBufferBuilder builder_;
};

}  // namespace

Result<std::vector<std::byte>> Shape::from_json(std::string_view json) const {
  if (!is_one_object(json)) return wrong("", "is not one JSON object");
  flatbuffers::IDLOptions options;
  options.strict_json = true;
  flatbuffers::Parser parser(options);
  flexbuffers::Builder parsed;
  if (!parser.ParseFlexBuffer(std::string(json).c_str(), nullptr, &parsed)) {
    std::string why = parser.error_;
    while (!why.empty() && why.back() == '\n') why.pop_back();
    return wrong("", "is not JSON: " + why);
  }
  return EventBuilder().event(*root_, flexbuffers::GetRoot(parsed.GetBuffer()), file_identifier_);
}

Result<std::vector<std::byte>> Shape::empty_event() const {
  flexbuffers::Builder nothing;
  nothing.Map([] {});
  nothing.Finish();
  return EventBuilder().event(*root_, flexbuffers::GetRoot(nothing.GetBuffer()), file_identifier_);
}

}  // namespace millrace::schemas
