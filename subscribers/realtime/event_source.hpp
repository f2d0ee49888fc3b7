// Where the gateway's events come from. The bus stands behind it in the program, a list in memory in the tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/base/frame.hpp"
#include "bus/base/ids.hpp"
#include "bus/base/result.hpp"
#include "schemas/registry.hpp"

namespace millrace::gateway {

enum class TopicState {
  ok,
  disk_stalled,
  failed,        // the core can write its log no more
  not_followed,  // the gateway cannot follow it
  unknown,       // the core has not answered yet
};
[[nodiscard]] std::string_view to_string(TopicState state);

struct TopicInfo {
  std::string name;
  const schemas::EventType* type = nullptr;  // outlives the source
  Offset first;                              // the oldest event there is
  Offset next;                               // of what poll() will hand over next
  LogId log_id;
  Run run;
  Offset recorded_end;  // that the recorder will give next
  TopicState state = TopicState::ok;
  std::string reason;  // why it is not ok; may be empty
};

enum class PublisherState { healthy, degraded, failed, closed, disconnected, dead };
[[nodiscard]] std::string_view to_string(PublisherState state);

struct PublisherInfo {
  std::string name;
  PublisherId id;
  Epoch epoch;
  PublisherState state = PublisherState::healthy;
  Sequence last;
};

enum class CoreState { ok, away, silent };
[[nodiscard]] std::string_view to_string(CoreState state);

struct Health {
  std::vector<std::string> reasons;  // why it is not well; empty when it is
  CoreState core = CoreState::ok;
  [[nodiscard]] bool ok() const { return reasons.empty(); }
};

struct LiveEvent {
  Offset offset;
  WallTime record_time;
  PublisherId publisher;
  Epoch epoch;
  FrameView frame;  // valid during the call that hands it over; may lie in memory that its publisher can still write
};

struct Earliest {};
// A Position also checks that the log, and the run up to the offset, are the ones its holder saw.
using ReplayStart = std::variant<Earliest, Offset, WallTime, Position>;

// Reads a topic's log from a start on. One thread at a time.
class Replay {
 public:
  using Handler = std::function<void(const LiveEvent&)>;
  virtual ~Replay() = default;
  [[nodiscard]] virtual Offset next() const = 0;  // of the next event that read() will hand over
  // Hands over at most `limit` events, offsets without a gap; returns how many, 0 at the end. May block on the disk.
  // Errors: deleted (retention overtook it), io_failed, corrupt.
  [[nodiscard]] virtual Result<std::size_t> read(const Handler& handler, std::size_t limit) = 0;
};

class EventSource {
 public:
  using Handler = std::function<void(std::size_t topic, const LiveEvent&)>;
  virtual ~EventSource() = default;

  // On the feeder's thread (or before it starts). The list of topics never changes, what is said of them may; a topic
  // is its index in it.
  [[nodiscard]] virtual std::vector<TopicInfo> topics() = 0;
  [[nodiscard]] virtual std::vector<PublisherInfo> publishers(std::size_t topic) = 0;
  [[nodiscard]] virtual Health health() = 0;
  // Hands over at most `limit` recorded events, each topic's in log order, beginning where the topic's `next` stood at
  // the first call of topics(); returns how many. Does not block.
  virtual std::uint64_t poll(const Handler& handler, std::size_t limit) = 0;

  // On any thread; may block on the disk. Errors: deleted (with the first offset there is), invalid_argument (beyond
  // the end, or a position of another log), rolled_back, io_failed.
  [[nodiscard]] virtual Result<std::unique_ptr<Replay>> replay(std::size_t topic, const ReplayStart& start) = 0;
};

}  // namespace millrace::gateway
