#include "schemas/shape.hpp"
#include "schemas/table_access.hpp"

namespace millrace::schemas {
namespace {

using flatbuffers::uoffset_t;

constexpr std::size_t unfold_max = 16;

class Walk {
 public:
  explicit Walk(std::span<const std::byte> payload)
      : begin_(reinterpret_cast<Address>(payload.data())),
        verifier_(begin_, payload.size(), options(payload.size())),
        budget_(payload.size() * unfold_max) {}

  [[nodiscard]] bool root(const ObjectShape& shape, const std::string& identifier) {
    if (!identifier.empty() && std::memcmp(begin_ + sizeof(uoffset_t), identifier.data(), 4) != 0) return false;
    const uoffset_t offset = verifier_.VerifyOffset(0);
    return offset != 0 && table(shape, begin_ + offset);
  }

 private:
  static flatbuffers::Verifier::Options options(std::size_t size) {
    flatbuffers::Verifier::Options options;
    options.max_tables = static_cast<uoffset_t>(size);
    return options;
  }

  [[nodiscard]] bool table(const ObjectShape& shape, Address at) {
    if (!reinterpret_cast<const flatbuffers::Table*>(at)->VerifyTableStart(verifier_)) return false;
    for (const FieldShape& field : shape.fields) {
      const Address value = field_at(at, field.slot);
      if (value == nullptr) {
        if (field.required) return false;
      } else if (!this->value(field.value, value, at)) {
        return false;
      }
    }
    return verifier_.EndTable();
  }

  // `at` may be anywhere yet.
  [[nodiscard]] bool value(const ValueShape& shape, Address at, Address table) {
    if (is_inline(shape.kind)) return spend(shape.size) && range(at, shape.size, shape.align);
    if (verifier_.VerifyOffset(offset_of(at)) == 0) return false;
    const Address target = follow(at);
    switch (shape.kind) {
      case Kind::string:
        return string(target);
      case Kind::table:
        return this->table(*shape.object, target);
      case Kind::vector:
        return vector(*shape.element, target, table);
      case Kind::union_: {
        // Its type may stand behind it in the schema, and be looked at later.
        if (const Address type = field_at(table, shape.type_slot); type != nullptr && !range(type, 1, 1)) return false;
        const EnumShape::Value* member = union_member(shape, table);
        if (member == nullptr) return true;  // a member of a later schema: never followed
        if (member->member.kind == Kind::table) return this->table(*member->member.object, target);
        if (member->member.kind == Kind::string) return string(target);
        return spend(member->member.size) && range(target, member->member.size, member->member.align);
      }
      default:
        return false;
    }
  }

  [[nodiscard]] bool string(Address at) {
    return verifier_.VerifyString(reinterpret_cast<const flatbuffers::String*>(at)) && spend(vector_size(at));
  }

  [[nodiscard]] bool vector(const ValueShape& element, Address at, Address table) {
    if (!verifier_.VerifyVectorOrString(at, element.size)) return false;
    const std::uint32_t count = vector_size(at);
    if (count == 0) return true;
    if (is_inline(element.kind))
      return spend(std::size_t{count} * element.size) &&
             verifier_.VerifyAlignment(offset_of(vector_element(at, 0, element.size)), element.align);
    for (std::uint32_t i = 0; i < count; ++i)
      if (!value(element, vector_element(at, i, element.size), table)) return false;
    return true;
  }

  [[nodiscard]] bool range(Address at, std::size_t size, std::size_t align) const {
    return verifier_.VerifyAlignment(offset_of(at), align) && verifier_.Verify(offset_of(at), size);
  }
  [[nodiscard]] bool spend(std::size_t bytes) {
    if (bytes > budget_) return false;
    budget_ -= bytes;
    return true;
  }
  [[nodiscard]] std::size_t offset_of(Address at) const { return static_cast<std::size_t>(at - begin_); }

  Address begin_;
  flatbuffers::Verifier verifier_;
  std::size_t budget_;
};

}  // namespace

bool Shape::verify(std::span<const std::byte> payload) const {
  if (payload.size() < 8 || payload.size() >= FLATBUFFERS_MAX_BUFFER_SIZE) return false;
  return Walk(payload).root(*root_, file_identifier_);
}

}  // namespace millrace::schemas
