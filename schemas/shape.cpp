#include "schemas/shape.hpp"

#include <flatbuffers/reflection.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <utility>

namespace millrace::schemas {

const FieldShape* ObjectShape::find(std::string_view field) const {
  const auto found = std::ranges::find(fields, field, &FieldShape::name);
  return found == fields.end() ? nullptr : &*found;
}

const EnumShape::Value* EnumShape::find(std::int64_t number) const {
  // Nearly all enums count from 0.
  if (const auto index = static_cast<std::uint64_t>(number); index < values.size() && values[index].number == number)
    return &values[index];
  const auto found = std::ranges::lower_bound(values, number, {}, &Value::number);
  return found == values.end() || found->number != number ? nullptr : &*found;
}

const EnumShape::Value* EnumShape::find(std::string_view value_name) const {
  const auto found = std::ranges::find(values, value_name, &Value::name);
  return found == values.end() ? nullptr : &*found;
}

namespace {

constexpr int depth_max = 32;           // structs in structs
constexpr int tables_nested_max = 200;  // a chain of table types, each only in the one before
constexpr std::size_t table_size_max = 60'000;
constexpr std::size_t fields_max = 20'000;  // of a whole schema, structs counted where they are used

std::string_view view(const flatbuffers::String* string) {
  return string == nullptr ? std::string_view{} : string->string_view();
}

bool is_identifier(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// The attribute's value, or nullptr if the field has none of that name.
const flatbuffers::String* attribute(const reflection::Field& field, const char* name) {
  static const auto* const empty = reinterpret_cast<const flatbuffers::String*>("\0\0\0\0");
  if (field.attributes() == nullptr) return nullptr;
  for (const auto* each : *field.attributes())
    if (view(each->key()) == name) return each->value() == nullptr ? empty : each->value();
  return nullptr;
}

// A kind that reflection's enum has no value for must not be read as one.
bool kinds_are_known(const reflection::Schema& schema) {
  const auto known = [](const reflection::Type* type) {
    if (type == nullptr) return true;
    for (const auto field : {reflection::Type::VT_BASE_TYPE, reflection::Type::VT_ELEMENT}) {
      const auto* const table = reinterpret_cast<const flatbuffers::Table*>(type);
      const auto kind = table->GetField<std::int8_t>(field, 0);
      if (kind < reflection::None || kind >= reflection::MaxBaseType) return false;
    }
    return true;
  };
  const auto all_known = [&known](const reflection::Object& object) {
    return std::ranges::all_of(*object.fields(), [&known](const auto* field) { return known(field->type()); });
  };
  if (schema.root_table() != nullptr && !all_known(*schema.root_table())) return false;  // need not be one of objects
  for (const auto* object : *schema.objects())
    if (!all_known(*object)) return false;
  for (const auto* names : *schema.enums())
    for (const auto* value : *names->values())
      if (!known(value->union_type())) return false;
  return true;
}

}  // namespace

// Every index and size in the schema is checked before it is followed: the bytes may come from anywhere.
class ShapeCompiler {
 public:
  ShapeCompiler(Shape& shape, const reflection::Schema& schema, std::string_view origin)
      : shape_(shape), schema_(schema), origin_(origin) {}

  [[nodiscard]] Result<const ObjectShape*> root(std::string_view name) {
    const reflection::Object* found = nullptr;
    if (name.empty()) {
      found = schema_.root_table();
      if (found == nullptr) return wrong("it declares no root_type; name the root table");
    } else {
      for (const auto* each : *schema_.objects()) {
        const std::string_view full = view(each->name());
        const bool unqualified =
            full.size() > name.size() && full.ends_with(name) && full[full.size() - name.size() - 1] == '.';
        if (full == name || (unqualified && found == nullptr)) found = each;
        if (full == name) break;
      }
      if (found == nullptr) return wrong("it has no table '" + std::string(name) + "'; it has " + tables());
    }
    if (found->is_struct())
      return wrong("'" + std::string(view(found->name())) + "' is a struct; a root must be a table");
    return table(*found);
  }

  [[nodiscard]] tl::unexpected<Error> wrong(const std::string& what) const {
    return fail(ErrorCode::invalid_argument, std::string(origin_) + ": " + what);
  }

 private:
  using Fields = std::vector<const reflection::Field*>;

  [[nodiscard]] std::string tables() const {
    std::string out;
    for (const auto* each : *schema_.objects())
      if (!each->is_struct()) out += (out.empty() ? "" : ", ") + std::string(view(each->name()));
    return out.empty() ? "none" : out;
  }

  // In the order of their ids, which is that of the declaration; reflection keeps them by name.
  static Fields declared(const reflection::Object& object) {
    Fields fields;
    for (const auto* each : *object.fields())
      if (!each->deprecated()) fields.push_back(each);
    std::ranges::stable_sort(fields, {}, [](const auto* field) { return field->id(); });
    return fields;
  }

  [[nodiscard]] Result<const ObjectShape*> table(const reflection::Object& object) {
    if (const auto known = tables_.find(&object); known != tables_.end()) return known->second;
    if (nesting_ > tables_nested_max) return wrong("tables are nested too deep");
    ++nesting_;
    ObjectShape& made = shape_.objects_.emplace_back();
    tables_[&object] = &made;  // before its fields: tables may hold themselves
    made.name = view(object.name());
    const Fields fields = declared(object);
    // A reserve, since the loop below may come back here for other tables but never for this one.
    made.fields.reserve(fields.size());
    for (const auto* field : fields) {
      if (field->offset() < 4 || field->offset() % 2 != 0 || field->offset() > table_size_max)
        return bad_layout(object, *field);
      auto shape = this->field(object, *field, &object, 0);
      if (!shape) return fail(std::move(shape).error());
      made.fields.push_back(std::move(*shape));
    }
    MILLRACE_TRY(consistent(object, made));
    for (FieldShape& field : made.fields) field.is_scale = scales_.contains({&object, field.slot});
    made.fixed = std::ranges::all_of(made.fields, [](const auto& field) { return is_inline(field.value.kind); });
    --nesting_;
    return &made;
  }

  // What later steps rely on: each slot once, the type of each union there to be verified, and a size that offsets
  // reach.
  [[nodiscard]] Status consistent(const reflection::Object& object, const ObjectShape& made) const {
    std::map<std::uint16_t, const FieldShape*> slots;
    std::size_t size = 0;
    for (const FieldShape& field : made.fields) {
      if (!slots.emplace(field.slot, &field).second) return wrong("two fields of " + made.name + " have the same id");
      size += field.value.size + field.value.align;
    }
    if (size > table_size_max) return wrong("table " + made.name + " is larger than a FlatBuffers table can be");
    for (const FieldShape& field : made.fields) {
      if (field.value.kind != Kind::union_) continue;
      const auto type = slots.find(field.value.type_slot);
      if (type == slots.end() || type->second->value.kind != Kind::u8 || field.value.names == nullptr)
        return wrong("union '" + field.name + "' of " + std::string(view(object.name())) + " has no type");
    }
    return {};
  }

  // `holder` is the table whose field says the scale of decimals; nullptr if there is none. Structs are compiled anew
  // for each use.
  [[nodiscard]] Result<const ObjectShape*> structure(const reflection::Object& object, const reflection::Object* holder,
                                                     int depth) {
    if (depth > depth_max) return wrong("structs are nested too deep");
    ObjectShape& made = shape_.objects_.emplace_back();
    made.name = view(object.name());
    for (const auto* field : declared(object)) {
      auto shape = this->field(object, *field, holder, depth + 1);
      if (!shape) return fail(std::move(shape).error());
      if (!is_inline(shape->value.kind) ||
          field->offset() + shape->value.size > static_cast<std::uint32_t>(object.bytesize()))
        return bad_layout(object, *field);
      made.fields.push_back(std::move(*shape));
    }
    return &made;
  }

  [[nodiscard]] Result<FieldShape> field(const reflection::Object& object, const reflection::Field& field,
                                         const reflection::Object* holder, int depth) {
    if (++fields_ > fields_max) return wrong("the schema is too large");
    FieldShape made;
    made.name = view(field.name());
    if (!is_identifier(made.name)) return wrong("a field of " + std::string(view(object.name())) + " has a bad name");
    made.json_name = '"' + made.name + "\":";
    if (const auto* also = attribute(field, "also")) made.also = view(also);
    made.is_key = attribute(field, "event_key") != nullptr;
    made.is_snapshot_key = attribute(field, "snapshot_key") != nullptr;
    made.slot = field.offset();
    made.required = field.required();
    made.default_integer = field.default_integer();
    made.default_real = field.default_real();
    auto value = this->value(object, field, field.type()->base_type(), *field.type(), holder, depth);
    if (!value) return fail(std::move(value).error());
    made.value = *value;
    made.optional = field.optional() && made.value.kind <= Kind::decimal;  // flatc says so of all structs, too
    if (made.optional && made.required)
      return wrong("field '" + made.name + "' of " + std::string(view(object.name())) +
                   " is both optional and required");
    if (const auto* scale = attribute(field, "decimal")) {
      const reflection::Field* found = nullptr;
      if (holder == nullptr)
        return wrong("field '" + made.name + "' is a decimal of a union's struct, which has no scale");
      for (const auto* each : *holder->fields())
        if (view(each->name()) == view(scale) && !each->deprecated()) found = each;
      if (made.value.kind != Kind::i64 || made.value.names != nullptr || found == nullptr ||
          found->type()->base_type() != reflection::UByte || found->type()->index() >= 0 || found->optional())
        return wrong("field '" + made.name + "' of " + std::string(view(object.name())) +
                     ": (decimal) stands at a long and names a ubyte field of the table, '" + std::string(view(scale)) +
                     "' is none in " + std::string(view(holder->name())));
      made.value.kind = Kind::decimal;
      made.value.scale_slot = found->offset();
      made.value.scale_default = static_cast<std::uint8_t>(found->default_integer());
      scales_.emplace(holder, found->offset());
    }
    return made;
  }

  [[nodiscard]] Result<ValueShape> value(const reflection::Object& object, const reflection::Field& field,
                                         reflection::BaseType base, const reflection::Type& type,
                                         const reflection::Object* holder, int depth) {
    ValueShape made;
    const auto scalar = [&](Kind kind, std::uint32_t size) { made.kind = kind, made.size = made.align = size; };
    const auto offset = [&](Kind kind) { made.kind = kind, made.size = made.align = 4; };
    switch (base) {
      case reflection::Bool:
        scalar(Kind::boolean, 1);
        return made;
      case reflection::Byte:
        scalar(Kind::i8, 1);
        break;
      case reflection::UType:
      case reflection::UByte:
        scalar(Kind::u8, 1);
        break;
      case reflection::Short:
        scalar(Kind::i16, 2);
        break;
      case reflection::UShort:
        scalar(Kind::u16, 2);
        break;
      case reflection::Int:
        scalar(Kind::i32, 4);
        break;
      case reflection::UInt:
        scalar(Kind::u32, 4);
        break;
      case reflection::Long:
        scalar(Kind::i64, 8);
        break;
      case reflection::ULong:
        scalar(Kind::u64, 8);
        break;
      case reflection::Float:
        scalar(Kind::f32, 4);
        return made;
      case reflection::Double:
        scalar(Kind::f64, 8);
        return made;
      case reflection::String:
        offset(Kind::string);
        return made;
      case reflection::Obj:
        return object_value(object, field, type, holder, depth);
      case reflection::Union: {
        if (depth > 0 || field.type()->base_type() != reflection::Union)
          return unsupported(object, field, "a vector of unions");
        offset(Kind::union_);
        made.type_slot = static_cast<std::uint16_t>(field.offset() - 2);
        break;
      }
      case reflection::Vector:
      case reflection::Array: {
        const bool array = base == reflection::Array;
        if (type.element() == reflection::Vector || type.element() == reflection::Array ||
            type.element() == reflection::None || type.element() == reflection::Union ||
            (type.element() == reflection::UType && !array))
          return unsupported(object, field, "a vector of unions or vectors");
        if (array && attribute(field, "text") != nullptr && type.element() == reflection::UByte) {
          made.kind = Kind::text;
          made.size = type.fixed_length();
          return made;
        }
        auto element = value(object, field, type.element(), type, holder, depth + 1);
        if (!element) return element;
        made.element = &shape_.elements_.emplace_back(*element);
        if (!array) return offset(Kind::vector), made;
        if (!is_inline(element->kind)) return bad_layout(object, field);
        made.kind = Kind::array;
        made.count = type.fixed_length();
        made.size = made.count * element->size;
        made.align = element->align;
        return made;
      }
      default:
        return unsupported(object, field, "a kind of field this build does not know");
    }
    if (type.index() < 0) return made;
    if (base == reflection::UType && field.type()->base_type() != reflection::UType) return made;
    auto names = enumeration(type.index());
    if (!names) return fail(std::move(names).error());
    made.names = *names;
    return made;
  }

  [[nodiscard]] Result<ValueShape> object_value(const reflection::Object& object, const reflection::Field& field,
                                                const reflection::Type& type, const reflection::Object* holder,
                                                int depth) {
    if (type.index() < 0 || static_cast<std::uint32_t>(type.index()) >= schema_.objects()->size())
      return bad_layout(object, field);
    const reflection::Object& target = *schema_.objects()->Get(static_cast<std::uint32_t>(type.index()));
    ValueShape made;
    if (!target.is_struct()) {
      auto shape = table(target);
      if (!shape) return fail(std::move(shape).error());
      made.kind = Kind::table;
      made.size = made.align = 4;
      made.object = *shape;
      return made;
    }
    const std::int32_t align = target.minalign();
    if (target.bytesize() <= 0 || target.bytesize() > 0xffff || align <= 0 || align > 32 || (align & (align - 1)) != 0)
      return bad_layout(object, field);
    auto shape = structure(target, holder, depth);
    if (!shape) return fail(std::move(shape).error());
    made.kind = Kind::structure;
    made.size = static_cast<std::uint32_t>(target.bytesize());
    made.align = static_cast<std::uint32_t>(align);
    made.object = *shape;
    // A struct that only wraps a text or an array is that text or array.
    if (const auto& fields = (*shape)->fields;
        fields.size() == 1 && fields.front().value.size == made.size &&
        (fields.front().value.kind == Kind::text || fields.front().value.kind == Kind::array))
      return fields.front().value;
    return made;
  }

  [[nodiscard]] Result<const EnumShape*> enumeration(std::int32_t index) {
    if (static_cast<std::uint32_t>(index) >= schema_.enums()->size()) return wrong("an enum's index is out of range");
    const reflection::Enum& from = *schema_.enums()->Get(static_cast<std::uint32_t>(index));
    if (const auto known = enums_.find(&from); known != enums_.end()) return known->second;
    EnumShape& made = shape_.enums_.emplace_back();
    enums_[&from] = &made;
    made.name = view(from.name());
    for (const auto* each : *from.values()) {
      EnumShape::Value value{each->value(), std::string(view(each->name())), {}};
      const reflection::Type* type = each->union_type();
      if (from.is_union() && type != nullptr && type->base_type() == reflection::String) {
        value.member.kind = Kind::string;
      } else if (from.is_union() && type != nullptr && type->base_type() == reflection::Obj) {
        if (type->index() < 0 || static_cast<std::uint32_t>(type->index()) >= schema_.objects()->size())
          return wrong("union " + made.name + " has a member out of range");
        const reflection::Object& object = *schema_.objects()->Get(static_cast<std::uint32_t>(type->index()));
        auto shape = object.is_struct() ? union_struct(object) : table(object);
        if (!shape) return fail(std::move(shape).error());
        value.member.kind = object.is_struct() ? Kind::structure : Kind::table;
        value.member.object = *shape;
        value.member.size = static_cast<std::uint32_t>(object.bytesize());
        value.member.align = static_cast<std::uint32_t>(std::max(1, object.minalign()));
      }
      made.values.push_back(std::move(value));
    }
    std::ranges::stable_sort(made.values, {}, &EnumShape::Value::number);
    return &made;
  }

  [[nodiscard]] Result<const ObjectShape*> union_struct(const reflection::Object& object) {
    const std::int32_t align = object.minalign();
    if (object.bytesize() <= 0 || object.bytesize() > 0xffff || align <= 0 || align > 32 || (align & (align - 1)) != 0)
      return wrong("struct " + std::string(view(object.name())) + " has a layout that cannot be");
    return structure(object, nullptr, 0);
  }

  [[nodiscard]] tl::unexpected<Error> bad_layout(const reflection::Object& object,
                                                 const reflection::Field& field) const {
    return wrong("field '" + std::string(view(field.name())) + "' of " + std::string(view(object.name())) +
                 " has a layout that cannot be");
  }
  [[nodiscard]] tl::unexpected<Error> unsupported(const reflection::Object& object, const reflection::Field& field,
                                                  const std::string& what) const {
    return fail(ErrorCode::unsupported, std::string(origin_) + ": field '" + std::string(view(field.name())) + "' of " +
                                            std::string(view(object.name())) + " is " + what +
                                            ", which is not supported");
  }

  Shape& shape_;
  const reflection::Schema& schema_;
  std::string_view origin_;
  std::size_t fields_ = 0;
  int nesting_ = 0;
  std::map<const reflection::Object*, const ObjectShape*> tables_;
  std::map<const reflection::Enum*, const EnumShape*> enums_;
  std::set<std::pair<const reflection::Object*, std::uint16_t>> scales_;
};

Result<std::unique_ptr<Shape>> Shape::compile(std::span<const std::byte> bfbs, std::string_view root_table,
                                              std::string_view key_field, std::string_view origin) {
  std::unique_ptr<Shape> shape(new Shape);
  shape->bfbs_.assign(bfbs.begin(), bfbs.end());
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(shape->bfbs_.data());
  flatbuffers::Verifier verifier(bytes, shape->bfbs_.size());
  if (shape->bfbs_.size() < 8 || !reflection::VerifySchemaBuffer(verifier))
    return fail(ErrorCode::invalid_argument,
                std::string(origin) + ": not a binary FlatBuffers schema; make it with flatc --binary --schema");
  const reflection::Schema& schema = *reflection::GetSchema(bytes);
  if (!kinds_are_known(schema))
    return fail(ErrorCode::unsupported, std::string(origin) + ": a field is of a kind this build does not know");
  if (const std::string_view identifier = view(schema.file_ident()); !identifier.empty()) {
    if (identifier.size() != 4 || identifier.find('\0') != std::string_view::npos)
      return fail(ErrorCode::invalid_argument, std::string(origin) + ": a file_identifier has 4 characters");
    shape->file_identifier_ = identifier;
  }
  ShapeCompiler compiler(*shape, schema, origin);
  auto root = compiler.root(root_table);
  if (!root) return fail(std::move(root).error());
  shape->root_ = *root;

  if (!key_field.empty()) {
    shape->key_ = shape->root_->find(key_field);
    if (shape->key_ == nullptr)
      return compiler.wrong("the key field '" + std::string(key_field) + "' is not in " + shape->root_->name);
  } else if (const auto marked = std::ranges::find_if(shape->root_->fields, &FieldShape::is_key);
             marked != shape->root_->fields.end()) {
    shape->key_ = &*marked;
  }
  if (shape->key_ != nullptr && shape->key_->value.kind != Kind::text && shape->key_->value.kind != Kind::string)
    return compiler.wrong("the key field '" + shape->key_->name + "' of " + shape->root_->name +
                          " must be a string or a text of fixed size");
  for (const FieldShape& field : shape->root_->fields) {
    if (!field.is_snapshot_key || &field == shape->key_) continue;
    if (shape->key_ == nullptr)
      return compiler.wrong("field '" + field.name +
                            "' is marked snapshot_key, but no field is the key: mark one event_key");
    if (!is_plain(field.value.kind))
      return compiler.wrong("field '" + field.name +
                            "' is marked snapshot_key, but is no text, string, integer or boolean");
    shape->snapshot_keys_.push_back(&field);
  }
  return shape;
}

}  // namespace millrace::schemas
