#include "schemas/event_template.hpp"

#include "schemas/shape.hpp"

namespace millrace::schemas {

Result<std::vector<std::byte>> make_template(std::span<const std::byte> schema) {
  auto shape = Shape::compile(schema, "", "", "template");
  if (!shape) return fail(std::move(shape).error());
  if (!(*shape)->root().fixed)
    return fail(ErrorCode::unsupported, (*shape)->root().name + " has fields of changing size, so it has no template");
  return (*shape)->empty_event();
}

}  // namespace millrace::schemas
