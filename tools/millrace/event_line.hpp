// One event as one line of JSON: what `tail` and `wal dump` print.
#pragma once

#include <optional>
#include <string>

#include "bus/event.hpp"
#include "schemas/registry.hpp"

namespace millrace::cli {

// {"offset":..,"sequence":..,"publisher":..,"epoch":..,"publish_time":..,"record_time":..,"cause":..,
//  "cause_index":..,"event":{..}}
//
// Publisher is its number in the topic, as `millrace status` shows it. Times are RFC 3339. Cause is the offset of the
// input event that led to this one, cause_index tells which of the events it led to in this topic; both null if there
// is none. At level live offset and record time are not known: null. "snapshot":true follows where it is part of one.
//
// `type` has verified the event; nullptr: none did (its type is unknown, or it fails the verifier), and the event is
// null, followed by "invalid":true.
void append_event_line(const Event& event, const schemas::EventType* type, std::string& out);

// The same, but the event's bytes in hexadecimal ("bytes") with the number of its type ("type").
void append_raw_line(const Event& event, std::string& out);

}  // namespace millrace::cli
