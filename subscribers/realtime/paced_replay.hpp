// A replay for one client: events of one or several topics in order of their record time, paced. It only reads and
// chooses: whoever has it calls read() as the client takes what it gave, so nothing piles up.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "subscribers/historical/pacer.hpp"
#include "subscribers/realtime/subscription.hpp"

namespace millrace::gateway {

class PacedReplay {
 public:
  struct Topic {
    std::size_t index = 0;
    std::string name;
    const schemas::EventType* type = nullptr;
    std::shared_ptr<const protocol::Filter> filter;
    std::optional<Offset> begin;           // until the log is open: where it begins, whatever the start
    Offset end;                            // its first offset that is not replayed
    std::optional<WallTime> to;            // likewise as a time, until the log is open
    std::shared_ptr<LogPlace> log;         // null before open()
    Run run;                               // that the log was in then
    std::optional<Offset> deleted_before;  // it began with the oldest event, and a time before that was asked for
    [[nodiscard]] Offset next() const { return log ? log->next() : Offset(0); }
    // Whether some of what lies before next() was.
    [[nodiscard]] bool is_taken_back_by(const RunBegin& begun) const {
      return begun.run > run && begun.offset < next();
    }
    [[nodiscard]] Error taken_back_by(const RunBegin& begun) const;
  };

  PacedReplay(std::vector<Topic> replayed, protocol::Encoding encoding, Level level, historical::Speed speed)
      : topics(std::move(replayed)), pacer(speed), encoding_(encoding), level_(level) {}

  // Goes to `start`, an offset of the first topic, the others to the record time of what is there; or a time, or the
  // earliest, of each. May block on the disk. Errors: those of EventSource::replay, invalid_argument (behind the end);
  // nothing has changed then.
  [[nodiscard]] Status open(EventSource& source, const ReplayStart& start);

  struct Chunk {
    std::shared_ptr<Body> body = std::make_shared<Body>();  // of all topics
    std::optional<MonotonicTime> due;                       // when the next event is, if that is later than now
    bool ended = false;                                     // all topics are at their ends
    std::optional<Error> error;                             // it cannot go on behind `body`
  };
  // What is due now, about `bytes_max` of it at most. May block on the disk.
  [[nodiscard]] Chunk read(MonotonicTime now, std::size_t bytes_max);

  // The record time of the next event, as far as it is known.
  [[nodiscard]] std::optional<WallTime> head() const;

  std::vector<Topic> topics;
  historical::Pacer pacer;
  bool paused = false;
  std::uint64_t steps = 0;          // events to be sent though it is paused
  std::optional<WallTime> reached;  // record time of the last event, sent or filtered away
  std::uint64_t count = 0;          // of events sent

 private:
  [[nodiscard]] Status fill(Topic& topic);
  void append(Topic& topic, std::size_t position, Body& body) const;

  protocol::Encoding encoding_;
  Level level_;
};

}  // namespace millrace::gateway
