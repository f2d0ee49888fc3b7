// The durable consumers of one topic: who has which name, and what each has acknowledged. Takes acknowledgements from
// the words that consumers share with the core, has them stored, and shows what is stored. One thread, which waits for
// no file: storing is the caller's, elsewhere.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/clock.hpp"
#include "bus/base/result.hpp"
#include "bus/ring/watermarks.hpp"
#include "wal/checkpoints.hpp"

namespace millrace {

class Consumers {
 public:
  using Owner = std::uint64_t;  // a subscription's number, never 0

  // `records`: as the last core stored them. `marks` outlives this.
  Consumers(std::vector<wal::ConsumerRecord> records, ring::Watermarks& marks);

  // Gives the name to `owner`, who may acknowledge with the words of `page` until it lets go; both count once stored()
  // says so. A new name begins at `start`. Errors: in_use (somebody has it, and `take_over` was not said), fenced (it
  // comes back, and another has had the name since, or it was reset), invalid_argument (the name), exhausted.
  struct Claim {
    std::string name;
    Owner owner = 0;
    const ring::SubscriberPage* page = nullptr;
    pid_t pid = 0;
    bool take_over = false;
    Offset start;
    Run run;
    std::uint64_t generation = 0;  // of one that comes back, and goes on where it stood
  };
  struct Claimed {
    std::size_t slot;  // of its mark
    std::uint64_t generation;
    Run run;  // of the checkpoint
    Offset checkpoint;
  };
  [[nodiscard]] Result<Claimed> claim(const Claim& claim, WallTime now);
  // The name is free again. What was acknowledged up to here counts.
  void release(Owner owner);
  // Whether what claim(), reset() or remove() changed is on the disk.
  [[nodiscard]] bool stored(std::uint64_t change) const { return change <= stored_changes_; }
  // Of the last such change.
  [[nodiscard]] std::uint64_t changes() const { return changes_; }

  // To begin at `offset` from now on; whoever has the name is fenced off. Errors: not_found.
  [[nodiscard]] Status reset(const std::string& name, Offset offset, Run run, WallTime now);
  // Errors: not_found, in_use (somebody has it).
  [[nodiscard]] Status remove(const std::string& name);

  // Takes what was acknowledged, never above the synced end. Then, if anything is to be stored and nothing is under
  // way, all there is to store.
  [[nodiscard]] std::optional<std::vector<wal::ConsumerRecord>> take_store(WallTime now);
  // Gives back how storing it ended. After a failure it is tried again.
  void complete_store(const Status& status);
  [[nodiscard]] bool storing() const { return storing_; }
  // Why nothing can be stored; empty if all is well.
  [[nodiscard]] const std::string& failure() const { return failure_; }

  struct View {
    wal::ConsumerRecord record;  // acked: as stored
    pid_t pid = 0;               // of its owner, 0 if nobody has it
  };
  [[nodiscard]] std::vector<View> list() const;

 private:
  struct Consumer {
    wal::ConsumerRecord record;  // as it is to be stored
    Offset shown;                // as stored
    bool stored = false;         // ever: nobody is told of one that a crash would undo
    Owner owner = 0;
    const ring::SubscriberPage* page = nullptr;
    pid_t pid = 0;
  };

  void take_acked(Consumer& consumer, WallTime now);
  void show(std::size_t slot);
  [[nodiscard]] std::optional<std::size_t> find(const std::string& name) const;
  void change() { ++changes_, dirty_ = true; }

  ring::Watermarks& marks_;
  // A slot each, that of its mark.
  std::map<std::size_t, Consumer> consumers_;
  bool dirty_ = false;
  bool storing_ = false;
  std::uint64_t changes_ = 0;
  std::uint64_t storing_changes_ = 0;
  std::uint64_t stored_changes_ = 0;
  std::map<std::size_t, Offset> storing_acked_;
  std::string failure_;
};

}  // namespace millrace
