// Where the gateway's events come from. The bus stands behind it in the program, a list in memory in the tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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

// What a subscription is shown of a topic.
enum class Level {
  recorded,  // what is in the log: lost only if the host dies
  synced,    // what is on the disk: never retracted
};

struct TopicInfo {
  std::string name;
  const schemas::EventType* type = nullptr;  // outlives the source
  Offset first;                              // the oldest event there is
  Offset next;                               // of what poll() will hand over next
  LogId log_id;
  Run run;
  Offset recorded_end;  // that the recorder will give next
  Offset synced_end;    // as EventSource::synced_end()
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

// A run of the log, and where it began: what was recorded before it stands.
struct RunBegin {
  Run run;
  Offset offset;
};

// Reads a topic's log from a start on. One thread at a time.
class Replay {
 public:
  using Handler = std::function<void(const LiveEvent&)>;
  virtual ~Replay() = default;
  // That the log was in when it was read.
  [[nodiscard]] virtual RunBegin run() const = 0;
  [[nodiscard]] virtual Offset next() const = 0;  // of the next event that read() will hand over
  // Hands over at most `limit` events, offsets without a gap; returns how many, 0 at the end. May block on the disk.
  // Errors: deleted (retention overtook it), io_failed, corrupt. What came before one is good; from then on every read
  // fails with it and hands over nothing, so that nobody goes on behind what is lost.
  [[nodiscard]] Result<std::size_t> read(const Handler& handler, std::size_t limit) {
    if (failed_) return fail(*failed_);
    auto count = read_some(handler, limit);
    if (!count) failed_ = count.error();
    return count;
  }

 protected:
  // Likewise, but that it need not keep its error.
  [[nodiscard]] virtual Result<std::size_t> read_some(const Handler& handler, std::size_t limit) = 0;

 private:
  std::optional<Error> failed_;
};

// A durable consumer's name, held until this is gone. One thread; no call waits for the core.
class HeldName {
 public:
  virtual ~HeldName() = default;
  // Where the last owner of the name ended.
  [[nodiscard]] virtual Offset begin() const = 0;
  // Why the name is not held any more, if so; then for good. Errors: fenced, and what a later core said.
  [[nodiscard]] virtual Status look() = 0;
  // Everything before `next` was sent.
  virtual void sent(Offset next) = 0;
  // Everything before `end` is dealt with. Errors: invalid_argument (beyond what was sent), those of look().
  [[nodiscard]] virtual Status ack(Offset end) = 0;
  [[nodiscard]] virtual Offset acked() const = 0;
  [[nodiscard]] virtual Offset checkpoint() const = 0;  // what is durably acknowledged
};

struct HoldRequest {
  std::string consumer;
  std::optional<ReplayStart> start;  // of a new one; none: behind what is synced
  bool take_over = false;
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
  // The first offset that is not synced, or that poll() has not handed over: what it handed over last of all before is
  // never retracted. Does not block.
  [[nodiscard]] virtual Offset synced_end(std::size_t topic) = 0;
  // As of the last poll(). Does not block.
  [[nodiscard]] virtual RunBegin run(std::size_t topic) = 0;

  // On any thread; may block on the disk. What is read ends where `level` does. Errors: deleted (with the first offset
  // there is), invalid_argument (beyond the end, or a position of another log), rolled_back, io_failed.
  [[nodiscard]] virtual Result<std::unique_ptr<Replay>> replay(std::size_t topic, const ReplayStart& start,
                                                               Level level) = 0;
  // On any thread; may block on the disk. The latest event of each key before `end`, ascending by offset. Errors:
  // deleted (`end` is before the first offset there is), io_failed, corrupt.
  [[nodiscard]] virtual Status last_values(std::size_t topic, Offset end, const Replay::Handler& handler) = 0;
  // On any thread; may wait for the core. Errors: in_use, exhausted, invalid_argument, timed_out, disconnected, and
  // those of a start that is not there.
  [[nodiscard]] virtual Result<std::unique_ptr<HeldName>> hold(std::size_t topic, const HoldRequest& request) = 0;
};

}  // namespace millrace::gateway
