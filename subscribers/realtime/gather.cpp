#include "subscribers/realtime/gather.hpp"

#include <algorithm>

#include "bus/base/assert.hpp"
#include "bus/base/rfc3339.hpp"
#include "subscribers/realtime/conflation.hpp"

namespace millrace::gateway {

namespace {
// Each is a message of its own before the body.
constexpr std::size_t missing_max = 16;

void note_sequence(Body& body, PublisherId publisher, Sequence sequence, Offset at) {
  for (Body::Stream& stream : body.streams) {
    if (stream.publisher != publisher) continue;
    if (sequence > stream.last.next()) {
      body.missing.push_back({publisher, stream.last.next(), Sequence(sequence.value() - 1), at});
    }
    stream.last = sequence;
    return;
  }
  body.streams.push_back({publisher, sequence, at, sequence});
}

// Of a payload that failed its verifier only the envelope is there.
void append_row(Offset offset, const EventBlock::Entry& entry, FrameView frame, const schemas::FlatType& columns,
                std::string& out) {
  out += std::to_string(offset.value());
  out += ',';
  append_rfc3339(entry.record_time, out);
  out += ',';
  out += std::to_string(entry.publisher.value());
  out += ',';
  out += std::to_string(frame.sequence().value());
  if (entry.valid) {
    out += ',';
    columns.append_csv(frame.payload(), out);
  } else {
    out.append(columns.columns().size(), ',');
  }
  out += '\n';
}
}  // namespace

std::optional<std::string> fit(protocol::Filter& filter, const schemas::EventType& type) {
  if (filter.field.empty()) return std::nullopt;
  const auto fields = type.filterable();
  if (std::find(fields.begin(), fields.end(), filter.field) == fields.end()) {
    std::string names;
    for (const std::string& field : fields) names += (names.empty() ? "" : ", ") + field;
    return "this topic can be filtered by: " + names;
  }
  if (filter.field == type.key_field()) {
    for (const std::string& value : filter.values) filter.keys.push_back(key_of(value));
  }
  return std::nullopt;
}

bool passes(const protocol::Filter& filter, const EventBlock::Entry& entry, FrameView frame,
            const schemas::EventType& type) {
  if (filter.field.empty()) return true;
  if (!filter.keys.empty() && std::find(filter.keys.begin(), filter.keys.end(), frame.key()) == filter.keys.end()) {
    return false;
  }
  // An invalid payload cannot be asked: it is shown, as invalid.
  if (!entry.valid) return true;
  return std::any_of(filter.values.begin(), filter.values.end(),
                     [&](const std::string& value) { return type.matches(frame.payload(), filter.field, value); });
}

bool has_room(const Body& body, const Limit& limit) {
  return body.size < limit.bytes && body.count < limit.count && body.missing.size() < missing_max;
}

void gather(EventBlock& block, const View& view, const schemas::EventType& type, const Limit& limit, Body& body,
            Counters& counters) {
  Offset end = std::min(block.next(), limit.end);
  if (view.plan) end = std::min(end, view.plan->end);
  MILLRACE_ASSERT(body.next >= block.first(), "a body goes on with events that the block holds");
  while (body.next < end && has_room(body, limit)) {
    const Offset offset = body.next;
    const std::size_t i = offset - block.first();
    ++body.next;
    const EventBlock::Entry& entry = block.entry(i);
    note_sequence(body, entry.publisher, block.frame(i).sequence(), offset);
    if (!passes(*view.filter, entry, block.frame(i), type)) continue;
    if (view.plan && !view.plan->keeps(offset)) {
      ++body.conflated;
      continue;
    }
    if (view.encoding == protocol::Encoding::csv) {
      append_row(offset, entry, block.frame(i), *view.columns, body.bytes);
      body.size = body.bytes.size();
    } else if (view.encoding == protocol::Encoding::binary) {
      body.size += sizeof(protocol::BinaryEntry) + entry.frame_size;
      if (!limit.measure) protocol::append_binary_event(offset, entry, block.frame(i), body.bytes);
    } else {
      bool made = false;
      const std::string_view json = block.json(i, type, made);
      if (made) counters.add(Counter::json_encoded);
      const bool lines = view.encoding == protocol::Encoding::lines;
      const bool comma = !lines && body.count > 0;
      body.size += json.size() + (lines || comma ? 1 : 0);
      if (!limit.measure) {
        if (comma) body.bytes += ',';
        body.bytes += json;
        if (lines) body.bytes += '\n';
      }
    }
    ++body.count;
  }
}

}  // namespace millrace::gateway
