// Acknowledgements: what a publisher may wait for, and what it is told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "bus/base/ids.hpp"

namespace millrace {

// How far an event must have come. Each is cumulative: the acknowledgement of a sequence is that of all before it.
struct Ack {
  enum class Level {
    recorded,  // in the log: survives every process
    synced,    // on the disk: survives the host
    consumed,  // acknowledged by a durable consumer
  };
  Level level;
  std::string consumer;  // if consumed

  [[nodiscard]] static Ack recorded() { return {Level::recorded, {}}; }
  [[nodiscard]] static Ack synced() { return {Level::synced, {}}; }
  [[nodiscard]] static Ack consumed(std::string consumer) { return {Level::consumed, std::move(consumer)}; }
};

// Names an event from the moment it is committed, before it has an offset.
struct PublishPosition {
  PublisherId publisher;
  Epoch epoch;
  Sequence sequence;

  auto operator<=>(const PublishPosition&) const = default;
};

enum class AckStatus {
  acknowledged,
  timed_out,     // not known yet. The event may well be recorded: ask outcome() later, never publish it again
  not_recorded,  // the log will never have it: the disk stalled under live_only, or failed without syncing
  disconnected,  // the core is away; the event is offered to the next one without the caller's doing
  failed,        // the topic is closed after a disk failure, until it is reopened; not known yet
  no_consumer,   // there is no durable consumer of that name
  closed,        // the publisher is closed for good: see Publisher::error()
};
[[nodiscard]] std::string_view to_string(AckStatus status);

struct Acknowledgement {
  AckStatus status = AckStatus::timed_out;
  PublishPosition position;  // of the event waited for: what outcome() takes

  [[nodiscard]] explicit operator bool() const { return status == AckStatus::acknowledged; }
};

// What became of an event.
enum class Fate {
  pending,       // not known yet
  recorded,      // in the log, not yet known to be on the disk
  synced,        // on the disk
  not_recorded,  // given up: declared in the log as a gap
  lost,          // never recorded, and its publisher's name went on without it
};
[[nodiscard]] std::string_view to_string(Fate fate);

struct Outcome {
  Fate fate = Fate::pending;
  std::optional<Offset> offset;  // if recorded or synced, and known
};

}  // namespace millrace
