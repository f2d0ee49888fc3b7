// The event registry: what the bus knows of an event type, whether it is built in or a user's own schema.
//
// Both kinds go through the same code: the binary schema is compiled once, at start, into a Shape (schemas/shape.hpp),
// which verifies, prints and parses.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bus/base/frame.hpp"
#include "bus/base/ids.hpp"
#include "bus/base/result.hpp"

namespace millrace::schemas {

class Shape;

// One root table. Immutable; any thread. All that take a payload, except verify(), want a verified one, 8-byte aligned.
class EventType {
 public:
  ~EventType();
  EventType(const EventType&) = delete;
  EventType& operator=(const EventType&) = delete;

  [[nodiscard]] EventTypeId id() const { return id_; }
  [[nodiscard]] std::string_view name() const { return name_; }  // "trade_events"
  [[nodiscard]] std::string_view root() const;                   // "millrace.schemas.TradeEvent"
  // Bytes of payload: of a fixed shape exactly what its template takes, else the limit of a page.
  [[nodiscard]] std::size_t largest_size() const { return largest_size_; }
  [[nodiscard]] std::span<const std::byte> bfbs() const;
  [[nodiscard]] const Shape& shape() const { return *shape_; }

  // Whether every reader of this type may follow it: all offsets and lengths inside, aligned, strings terminated,
  // and the file identifier the schema's.
  [[nodiscard]] bool verify(std::span<const std::byte> payload) const {
    return is_like_template(payload) || verify_walking(payload);
  }

  // One line of JSON, no spaces; schemas/README.md says how it looks.
  void append_json(std::span<const std::byte> payload, std::string& out) const;
  // Verifies first.
  [[nodiscard]] Result<std::string> to_json(std::span<const std::byte> payload) const;
  // The inverse. Fields left out have their defaults; errors name the field and what was wrong with it.
  [[nodiscard]] Result<std::vector<std::byte>> from_json(std::string_view json) const;

  // The instrument or account that the frame's key is the hash of; nullopt if the type has no key field.
  [[nodiscard]] std::optional<std::string_view> key_text(std::span<const std::byte> payload) const;
  [[nodiscard]] Key key(std::span<const std::byte> payload) const;  // Key(0) if the type has none, or it is empty
  [[nodiscard]] std::string_view key_field() const;                 // empty if none

  // What the event is the newest word on: the key's text or, where further fields are marked snapshot_key, the bytes of
  // all of them, which only equal values of all give. In the payload or in `scratch`. Empty if the type has no key
  // field, or it is empty.
  [[nodiscard]] std::string_view snapshot_key(std::span<const std::byte> payload, std::string& scratch) const;
  [[nodiscard]] std::string snapshot_fields() const;  // "account,currency"; empty if the type has no key

  // Names that matches() takes: texts, strings, integers and enums of the root table, and their second names ("account"
  // for a trade's buyer_account and seller_account).
  [[nodiscard]] std::span<const std::string> filterable() const { return filterable_; }
  // Whether a field of that name has that value, as JSON shows it without quotes. False for unknown names.
  [[nodiscard]] bool matches(std::span<const std::byte> payload, std::string_view field, std::string_view value) const;

 private:
  friend class Registry;
  EventType(std::string_view name, EventTypeId id, std::unique_ptr<Shape> shape);

  // Nearly every event of a fixed shape is made from its template. All that the walk reads of such a one, the offset of
  // the root and its vtable, stands in front: where that is the template's, the walk would say yes.
  [[nodiscard]] bool is_like_template(std::span<const std::byte> payload) const {
    return !template_front_.empty() && payload.size() == largest_size_ &&
           std::memcmp(payload.data(), template_front_.data(), template_front_.size()) == 0;
  }
  [[nodiscard]] bool verify_walking(std::span<const std::byte> payload) const;

  EventTypeId id_;
  std::string name_;
  std::unique_ptr<Shape> shape_;
  std::size_t largest_size_ = 0;
  std::vector<std::byte> template_front_;  // empty if the type has no template, or not one of that form
  std::vector<std::string> filterable_;
};

// Filled at start by one thread, then read by any. Pointers to its types hold as long as it lives; moving it keeps
// them.
class Registry {
 public:
  [[nodiscard]] static Registry built_in();

  [[nodiscard]] const EventType* find(EventTypeId id) const;  // nullptr if unknown
  [[nodiscard]] const EventType* find(std::string_view name) const;
  [[nodiscard]] std::vector<const EventType*> all() const;

  // A user's schema: `path` names an .fbs (includes are looked for beside it) or a .bfbs. `root_table` may be empty:
  // the schema's root_type; else with or without its namespace. `key_field` may be empty: the field with the attribute
  // event_key, if any. `id` is from first_user_event_type upward.
  [[nodiscard]] Result<const EventType*> add_user_schema(std::string_view name, EventTypeId id, const std::string& path,
                                                         std::string_view root_table, std::string_view key_field);
  // The same from bytes, e.g. from a log's folder; they are not trusted. `origin` stands in error messages.
  [[nodiscard]] Result<const EventType*> add_bfbs(std::string_view name, EventTypeId id,
                                                  std::span<const std::byte> bfbs, std::string_view root_table,
                                                  std::string_view key_field,
                                                  std::string_view origin = "binary schema");
  // A type as a log keeps it, of any number, also of one that is built in: the log may be older or newer than this
  // build. It belongs to no registry. Errors: as add_bfbs, but for the number and the name.
  [[nodiscard]] static Result<std::unique_ptr<EventType>> make_kept(std::string_view name, EventTypeId id,
                                                                    std::span<const std::byte> bfbs,
                                                                    std::string_view root_table,
                                                                    std::string_view key_field,
                                                                    std::string_view origin);

 private:
  std::vector<std::unique_ptr<EventType>> types_;
};

}  // namespace millrace::schemas
