#include "schemas/registry.hpp"

#include <flatbuffers/idl.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "bus/base/assert.hpp"
#include "bus/base/limits.hpp"
#include "schemas/families.hpp"
#include "schemas/shape.hpp"

namespace millrace::schemas {
namespace {

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail_errno("schema '" + path + "'", errno);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

EventType::EventType(std::string_view name, EventTypeId id, std::unique_ptr<Shape> shape)
    : id_(id), name_(name), shape_(std::move(shape)), largest_size_(limits::payload_size_max) {
  if (shape_->root().fixed) {
    auto empty = shape_->empty_event();
    MILLRACE_ASSERT(empty.has_value(), "a table of fixed shape has no required fields");
    largest_size_ = empty->size();
    const auto* root = flatbuffers::GetRoot<flatbuffers::Table>(empty->data());
    const auto* front_end = reinterpret_cast<const std::byte*>(root) + sizeof(flatbuffers::soffset_t);
    if (root->GetVTable() < reinterpret_cast<const std::uint8_t*>(root) && verify_walking(*empty)) {
      template_front_.assign(std::as_const(*empty).data(), front_end);
    }
  }
  for (const FieldShape& field : shape_->root().fields) {
    if (field.is_scale || !is_plain(field.value.kind)) continue;
    for (const std::string& each : {field.name, field.also})
      if (!each.empty() && std::ranges::find(filterable_, each) == filterable_.end()) filterable_.push_back(each);
  }
}

EventType::~EventType() = default;

std::string_view EventType::root() const {
  return shape_->root().name;
}

std::span<const std::byte> EventType::bfbs() const {
  return shape_->bfbs();
}

bool EventType::verify_walking(std::span<const std::byte> payload) const {
  return shape_->verify(payload);
}

void EventType::append_json(std::span<const std::byte> payload, std::string& out) const {
  shape_->append_json(payload, out);
}

Result<std::string> EventType::to_json(std::span<const std::byte> payload) const {
  if (!verify(payload))
    return fail(ErrorCode::invalid_argument, "the payload of " + std::to_string(payload.size()) +
                                                 " bytes is not an event of type " + name_ +
                                                 "; its verifier refused it");
  std::string out;
  out.reserve(2 * payload.size());
  append_json(payload, out);
  return out;
}

Result<std::vector<std::byte>> EventType::from_json(std::string_view json) const {
  auto event = shape_->from_json(json);
  if (!event) return fail(event.error().code, name_ + ": " + event.error().message);
  if (event->size() > limits::payload_size_max)
    return fail(ErrorCode::too_large, name_ + ": the event takes " + std::to_string(event->size()) +
                                          " bytes, at most " + std::to_string(limits::payload_size_max) +
                                          " fit a page");
  return event;
}

std::string_view EventType::key_field() const {
  return shape_->key() == nullptr ? std::string_view{} : shape_->key()->name;
}

std::optional<std::string_view> EventType::key_text(std::span<const std::byte> payload) const {
  if (shape_->key() == nullptr) return std::nullopt;
  return shape_->text_of(payload, *shape_->key());
}

Key EventType::key(std::span<const std::byte> payload) const {
  const auto text = key_text(payload);
  return text && !text->empty() ? key_of(*text) : Key(0);
}

std::string_view EventType::snapshot_key(std::span<const std::byte> payload, std::string& scratch) const {
  const auto text = key_text(payload);
  if (!text || text->empty() || shape_->snapshot_keys().empty()) return text.value_or(std::string_view{});
  scratch.clear();
  // The length of each but the last stands before it, so that no two lists of texts look alike.
  const auto end_field = [&scratch](std::size_t begin) {
    const auto size = static_cast<std::uint32_t>(scratch.size() - begin - sizeof(std::uint32_t));
    std::memcpy(scratch.data() + begin, &size, sizeof size);
  };
  scratch.append(sizeof(std::uint32_t), '\0').append(*text);
  end_field(0);
  for (const FieldShape* field : shape_->snapshot_keys()) {
    const bool last = field == shape_->snapshot_keys().back();
    const std::size_t begin = scratch.size();
    if (!last) scratch.append(sizeof(std::uint32_t), '\0');
    shape_->append_plain(payload, *field, scratch);
    if (!last) end_field(begin);
  }
  return scratch;
}

std::string EventType::snapshot_fields() const {
  std::string fields(key_field());
  for (const FieldShape* field : shape_->snapshot_keys()) fields += "," + field->name;
  return fields;
}

bool EventType::matches(std::span<const std::byte> payload, std::string_view field, std::string_view value) const {
  for (const FieldShape& each : shape_->root().fields) {
    if ((each.name != field && each.also != field) || field.empty() || each.is_scale) continue;
    if (each.value.kind == Kind::text || each.value.kind == Kind::string) {
      if (shape_->text_of(payload, each) == value) return true;
    } else if (is_plain(each.value.kind)) {
      std::string plain;
      shape_->append_plain(payload, each, plain);
      if (plain == value) return true;
    }
  }
  return false;
}

Registry Registry::built_in() {
  Registry registry;
  const auto add = [&]<class Root>(std::type_identity<Root>) {
    auto shape = Shape::compile(Family<Root>::bfbs(), "", "", Family<Root>::name);
    MILLRACE_ASSERT(shape.has_value(), "the built-in schemas are sound");
    registry.types_.emplace_back(new EventType(Family<Root>::name, Family<Root>::id, std::move(*shape)));
  };
  add(std::type_identity<TradeEvent>{});
  add(std::type_identity<AccountEvent>{});
  add(std::type_identity<MarketL2>{});
  add(std::type_identity<OrderEvent>{});
  add(std::type_identity<HealthEvent>{});
  add(std::type_identity<OrderCommand>{});
  add(std::type_identity<RiskAlert>{});
  return registry;
}

const EventType* Registry::find(EventTypeId id) const {
  const auto found = std::ranges::find(types_, id, [](const auto& type) { return type->id(); });
  return found == types_.end() ? nullptr : found->get();
}

const EventType* Registry::find(std::string_view name) const {
  const auto found = std::ranges::find(types_, name, [](const auto& type) { return type->name(); });
  return found == types_.end() ? nullptr : found->get();
}

std::vector<const EventType*> Registry::all() const {
  std::vector<const EventType*> all;
  for (const auto& type : types_) all.push_back(type.get());
  return all;
}

Result<const EventType*> Registry::add_user_schema(std::string_view name, EventTypeId id, const std::string& path,
                                                   std::string_view root_table, std::string_view key_field) {
  auto source = read_file(path);
  if (!source) return fail(std::move(source).error());
  if (path.ends_with(".bfbs"))
    return add_bfbs(name, id, std::as_bytes(std::span(*source)), root_table, key_field, path);

  flatbuffers::IDLOptions options;
  options.lang_to_generate = flatbuffers::IDLOptions::kCpp;  // else unions may hold tables only
  options.binary_schema_comments = true;
  options.binary_schema_builtins = true;
  flatbuffers::Parser parser(options);
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const std::string beside = folder.empty() ? "." : folder;
  const char* const includes[] = {beside.c_str(), nullptr};
  if (!parser.Parse(source->c_str(), const_cast<const char**>(includes), path.c_str())) {
    std::string why = parser.error_;  // "file:line: column: error: what"
    while (!why.empty() && why.back() == '\n') why.pop_back();
    return fail(ErrorCode::invalid_argument, "schema '" + path + "': " + why);
  }
  parser.Serialize();
  const auto bytes = std::as_bytes(std::span(parser.builder_.GetBufferPointer(), parser.builder_.GetSize()));
  return add_bfbs(name, id, bytes, root_table, key_field, path);
}

Result<const EventType*> Registry::add_bfbs(std::string_view name, EventTypeId id, std::span<const std::byte> bfbs,
                                            std::string_view root_table, std::string_view key_field,
                                            std::string_view origin) {
  const auto number = std::to_string(static_cast<unsigned>(id));
  if (const EventType* taken = find(id); taken != nullptr)
    return fail(ErrorCode::in_use, "event type " + number + " is " + std::string(taken->name()) + "; give '" +
                                       std::string(name) + "' another number");
  if (find(name) != nullptr)
    return fail(ErrorCode::in_use, "there is an event type '" + std::string(name) + "' already; choose another name");
  if (id < first_user_event_type)
    return fail(ErrorCode::invalid_argument, "event type " + number + " is reserved; users' own begin at " +
                                                 std::to_string(static_cast<unsigned>(first_user_event_type)));
  auto type = make_kept(name, id, bfbs, root_table, key_field, origin);
  if (!type) return fail(std::move(type).error());
  return types_.emplace_back(std::move(*type)).get();
}

Result<std::unique_ptr<EventType>> Registry::make_kept(std::string_view name, EventTypeId id,
                                                       std::span<const std::byte> bfbs, std::string_view root_table,
                                                       std::string_view key_field, std::string_view origin) {
  auto shape = Shape::compile(bfbs, root_table, key_field, origin);
  if (!shape) return fail(std::move(shape).error());
  return std::unique_ptr<EventType>(new EventType(name, id, std::move(*shape)));
}

}  // namespace millrace::schemas
