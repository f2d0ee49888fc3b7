// A bus of one topic in this process's memory, stepped by hand: the same rings, pages, recorder, log and links as the
// daemon's, with neither sockets nor threads nor iceoryx. For tests of everything that publishes or follows.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/attachment.hpp"
#include "bus/publisher.hpp"
#include "bus/recorder/consumers.hpp"
#include "bus/recorder/topic_recorder.hpp"
#include "bus/subscriber.hpp"
#include "schemas/registry.hpp"

namespace millrace::testing {

struct MemoryBusOptions {
  std::string folder;  // of the log; made if it is not there
  std::string type = "trade_events";
  std::uint32_t streams = 1;
  std::size_t ring_bytes = 1 << 20;
  std::size_t page_size = 4096;
  std::size_t order_capacity = 1024;
  std::uint32_t grant_ahead = 4;
  ring::StallPolicy policy = ring::StallPolicy::block;
  wal::WriterOptions log{};
  std::uint64_t retention_bytes = 0;                   // 0: no limit
  std::chrono::nanoseconds retention_age{0};           // 0: no limit
  std::chrono::nanoseconds compress_after{0};          // 0: never
  std::uint64_t free_space_floor = 0;                  // 0: none
  wal::FileSystem* files = &wal::posix_file_system();  // that the folder lies on; outlives the bus
};

class MemoryBus {
 public:
  MemoryBus(MemoryBusOptions options, ManualClock& clock);
  // Without a core, for disks that may fail: see start_core().
  struct WithoutCore {};
  MemoryBus(MemoryBusOptions options, ManualClock& clock, WithoutCore);

  // A publishing process of its own; `name` in the topic. Steps until its epoch is on the disk.
  [[nodiscard]] std::unique_ptr<Publisher> publisher(const std::string& name);
  [[nodiscard]] Result<std::unique_ptr<Subscriber>> subscribe(
      Level level, const Start& start = StartLatest{}, Follower::OnGap on_gap = nullptr,
      std::optional<Follower::Snapshot> snapshot = std::nullopt);

  // One round of the core: grants, recording and, if it is due, a sync.
  void step();
  // One piece of the log's housekeeping; false if there was none.
  bool keep_house();
  // Rounds until there is nothing to do and everything is synced.
  void settle();
  // The publisher's process is dead: its page is closed and drained, its name and ring are free again.
  void publisher_died(const std::string& name);
  // The core dies where it stands, and a new one comes: it salvages the old rings, and everybody is given new ones.
  // `meanwhile` runs after the salvage, before clients learn of the death.
  void restart_core(const std::function<void()>& meanwhile = nullptr);
  // Grants pages only: a recorder that stands still.
  void grant();
  // The publisher's ring as a hostile process could write to it.
  [[nodiscard]] ring::Writer& writer_of(Publisher& publisher) { return *publisher.writer_; }

  // What the calls above are made of, one step each, for tests in which a disk fails or somebody dies in between. They
  // tell no link anything.
  //
  // The core dies where it stands.
  void kill_core();
  [[nodiscard]] bool has_core() const { return core_ != nullptr; }
  // A new core opens the log and salvages the dead one's rings. Errors: the log's; there is no core then, and the dead
  // one's rings are kept for the next.
  [[nodiscard]] Status start_core();
  // Where each run began that a core of this bus opened the log for, also one that failed in its salvage.
  [[nodiscard]] const std::vector<std::pair<Run, Offset>>& runs() const { return runs_; }
  // A publishing process asks for a name. The stream it may get. Errors: in_use, exhausted.
  [[nodiscard]] Result<std::size_t> ask(const std::string& name, Incarnation incarnation);
  // Null while what lies in the stream is still recorded, or the epoch is on its way to the disk. Errors: the topic's
  // failure, what the log says; the stream is free again then.
  [[nodiscard]] Result<std::shared_ptr<PublisherAttachment>> admitted(std::size_t stream);
  // The topic goes on after a failure. Who asked for a stream is admitted anew: what it was to be admitted with is
  // lost.
  [[nodiscard]] Status reopen();
  // Who has the stream, or asked for it, is dead: its page is closed.
  void release(std::size_t stream);
  [[nodiscard]] std::shared_ptr<SubscriberAttachment> attach_subscriber();
  // The subscriber is gone, and so are its leases. One of an earlier core is fine.
  void detach_subscriber(const SubscriberAttachment& attachment);
  // Claims a durable consumer's name for the subscriber, who may begin once the change is stored: consumers().stored().
  // A new name begins at `start`; `generation`: of one that comes back. Errors: those of Consumers::claim().
  [[nodiscard]] Result<std::uint64_t> hold(SubscriberAttachment& attachment, const std::string& consumer,
                                           bool take_over, Offset start, std::uint64_t generation = 0);
  [[nodiscard]] Consumers& consumers() { return *core_->consumers; }
  [[nodiscard]] wal::Checkpoints& checkpoints() { return *core_->checkpoints; }  // what consumers() has to store
  [[nodiscard]] const ring::Watermarks& marks() const {
    return *reinterpret_cast<const ring::Watermarks*>(core_->marks.data());
  }

  [[nodiscard]] TopicRecorder& recorder() { return *core_->recorder; }
  [[nodiscard]] const schemas::EventType& type() const { return *type_; }

 private:
  struct Core {
    std::vector<Mapping> rings;
    Mapping order;
    Mapping marks;
    std::vector<std::unique_ptr<ring::Pages>> pages;
    std::unique_ptr<TopicRecorder> recorder;
    std::list<Mapping> subscriber_pages;
    std::optional<wal::Checkpoints> checkpoints;
    std::optional<Consumers> consumers;
  };
  struct Owner {
    std::string name;
    Incarnation incarnation;
    std::optional<Admission> admission;  // once it is appended
    bool assigned = false;               // once it is on the disk
    std::shared_ptr<PublisherLink> link;
  };

  [[nodiscard]] std::shared_ptr<PublisherAttachment> attach_publisher(const std::string& name, Incarnation incarnation,
                                                                      std::shared_ptr<PublisherLink> link);
  void set_leases();

  MemoryBusOptions options_;
  ManualClock& clock_;
  schemas::Registry registry_ = schemas::Registry::built_in();
  const schemas::EventType* type_;
  std::vector<std::optional<Owner>> owners_;  // a stream each
  std::vector<std::string> last_names_;       // who had the stream last, likewise
  std::vector<std::shared_ptr<SubscriberLink>> subscribers_;
  std::vector<std::pair<Run, Offset>> runs_;
  std::vector<std::shared_ptr<Core>> cores_;  // clients may still read the memory of the dead ones
  std::shared_ptr<Core> core_;                // null: there is none
};

}  // namespace millrace::testing
