// What must be true of a topic, told plainly: which events each publisher committed, which of them somebody was told to
// be recorded or synced, and what stands at each offset. Everything that anybody sees is held against it.
//
// The first thing that must not be is kept as violation(); the simulation ends there.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bus/base/ack.hpp"
#include "bus/event.hpp"
#include "bus/recorder/topic_recorder.hpp"
#include "bus/ring/pages.hpp"
#include "wal/reader.hpp"

namespace millrace::simulation {

// What one subscription has seen. A durable consumer's or a resumed one's goes on where the one before stood.
struct Sight {
  Level level = Level::recorded;
  std::optional<Offset> next;              // levels recorded and synced: the offset it must see next
  std::map<PublisherId, Sequence> last{};  // seen of each publisher
  std::map<PublisherId, Gap> gap{};        // told, and not yet followed by the event behind it
  std::optional<Offset> void_from{};       // it will be told so once it has read the batch that it is in
  std::map<PublisherId, std::map<Sequence, Epoch>> shown{};  // level live: and not taken back
  std::uint64_t count = 0;
};

class Model {
 public:
  Model(ring::StallPolicy stall, wal::SyncPolicy sync) : stall_(stall), may_lose_(may_lose(stall, sync)) {}

  // A process was granted a name. `last`: the sequence it goes on behind.
  void granted(const std::string& name, Incarnation incarnation, PublisherId id, Epoch epoch, Sequence last);
  // Published for all to see. `kept`: into the ring of a living core, which must not lose it unless the host dies.
  void committed(PublisherId id, Epoch epoch, Sequence sequence, std::uint64_t digest, bool kept);
  // All that this process has published lies in the ring of a living core.
  void offered_again(PublisherId id, Epoch epoch);
  // What a publisher reads of its watermarks.
  void publisher_marks(PublisherId id, Epoch epoch, Sequence recorded, Sequence synced);

  // A core began a run of the log at `begin`.
  void run_began(Run run, Offset begin);
  // It stands at `next` after its salvage.
  void core_started(Offset next);
  void topic_marks(Offset recorded_end, Offset synced_end);
  // Only what was synced must still be there.
  void host_died();
  // A core whose disk had failed goes on, in the run that begins at `begin`. `held`: what was not synced is still in
  // the pages.
  void reopened(Run run, Offset begin, bool held);
  // It tried to, and may have closed the log behind what was synced: the next core may have to give offsets out again.
  void reopening_failed() { half_reopened_ = true; }

  // What a publisher is told of one event: that it is in the log (on the disk), or that it never will be.
  void acknowledged(const PublishPosition& position, bool synced);
  void never(const PublishPosition& position, const std::string& why);
  void decided(const PublishPosition& position, const Outcome& outcome);
  // A durable consumer, its name new or known, begins at `offset`.
  void consumer_begins(const std::string& name, Offset offset, bool created);
  void consumer_acked(const std::string& name, Offset end);
  // What the watermarks show as durably acknowledged.
  void consumer_mark(const std::string& name, Offset acked);
  // The publisher is told that the consumer has dealt with its event.
  void consumed(const PublishPosition& position, const std::string& name);

  void seen(Sight& sight, const Event& event);
  void told(Sight& sight, const Gap& gap);
  // A follower that asked for `time` began at `offset`, of a log from `first` to `end`.
  void starts_at(WallTime time, Offset offset, Offset first, Offset end);
  // What a token must answer: nullopt if it serves; `first` is the oldest offset there is.
  [[nodiscard]] std::optional<ErrorCode> token_error(const Position& token, Offset first) const;

  // Reads the whole log: it must hold what the model knows, nothing twice, no hole that it does not name, and end at
  // `end`. Returns how many events its gap records name for `run`.
  std::uint64_t audit(wal::FileSystem& files, const std::string& folder, Offset end, Run run);
  // When all is drained: what living cores were given is in the log.
  void nothing_is_missing();

  [[nodiscard]] Offset synced_end() const { return synced_end_; }
  [[nodiscard]] Sequence last_committed(PublisherId id) const;
  [[nodiscard]] std::uint64_t events_in_log() const { return places_.size(); }

  void fail(std::string what) {
    if (violation_.empty()) violation_ = std::move(what);
  }
  [[nodiscard]] bool failed() const { return !violation_.empty(); }
  [[nodiscard]] const std::string& violation() const { return violation_; }

 private:
  struct Committed {
    Epoch epoch;
    std::uint64_t digest = 0;
    bool kept = false;
    bool told_recorded = false;  // by a watermark: there, or declared lost
    bool told_synced = false;
    bool acked_recorded = false;  // by name: there
    bool acked_synced = false;
    bool never = false;  // by name: not there
  };
  struct Publisher {
    std::string name;
    std::map<Epoch, Incarnation> epochs;
    std::map<Sequence, std::vector<Committed>> events;  // several: an earlier incarnation's were lost
    std::map<Epoch, Sequence> recorded, synced;         // watermarks as each incarnation last saw them
    Sequence in_log;                                    // last recorded or declared a gap, as of the last audit
    std::optional<Sequence> first_in_log;               // the oldest event there is, likewise
  };
  struct Consumer {
    std::optional<Offset> shown;  // as durable
    Offset acked;                 // by whoever had the name
  };
  struct Place {
    PublisherId publisher;
    Epoch epoch;
    Sequence sequence;
    std::uint64_t digest = 0;
    WallTime record_time;
  };

  void forget_unsynced(bool held);
  void claim(Offset offset, const Place& place, const char* who);
  [[nodiscard]] Committed* find(PublisherId id, Epoch epoch, Sequence sequence);
  void never(PublisherId id, Sequence from, Sequence to);
  void take_back(Sight& sight, const Gap& gap);
  void roll_back(Sight& sight, const Gap& gap);
  void audit_told();
  void audit_batch(const wal::BatchView& batch, std::map<PublisherId, Sequence>& last, bool whole);

  ring::StallPolicy stall_;
  bool may_lose_;
  std::map<PublisherId, Publisher> publishers_;
  std::map<Offset, Place> places_;
  std::map<std::pair<PublisherId, Sequence>, Offset> offsets_;  // the inverse
  std::map<Run, Offset> runs_;                                  // where each began
  std::map<std::string, Consumer> consumers_;
  Offset recorded_end_;
  Offset synced_end_;
  bool marks_known_ = false;  // of this core
  bool half_reopened_ = false;
  std::string violation_;
};

[[nodiscard]] std::uint64_t digest_of(std::span<const std::byte> payload);

}  // namespace millrace::simulation
