// A bus of one topic in this process's memory, stepped by hand: the same rings, pages, recorder, log and links as the
// daemon's, with neither sockets nor threads nor iceoryx. For tests of everything that publishes or follows.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/attachment.hpp"
#include "bus/publisher.hpp"
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
  std::uint64_t retention_bytes = 0;  // 0: no limit
  wal::WriterOptions log{};
  wal::FileSystem* files = &wal::posix_file_system();  // that the folder lies on; outlives the bus
};

class MemoryBus {
 public:
  MemoryBus(MemoryBusOptions options, ManualClock& clock);

  // A publishing process of its own; `name` in the topic. Steps until its epoch is on the disk.
  [[nodiscard]] std::unique_ptr<Publisher> publisher(const std::string& name);
  [[nodiscard]] Result<std::unique_ptr<Subscriber>> subscribe(Level level, const Start& start = StartLatest{},
                                                              Follower::OnGap on_gap = nullptr);

  // One round of the core: grants, recording and, if it is due, a sync.
  void step();
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

  [[nodiscard]] TopicRecorder& recorder() { return *core_->recorder; }
  [[nodiscard]] const schemas::EventType& type() const { return *type_; }

 private:
  struct Core {
    std::vector<Mapping> rings;
    Mapping order;
    Mapping marks;
    std::vector<std::unique_ptr<ring::Pages>> pages;
    std::unique_ptr<TopicRecorder> recorder;
    std::deque<Mapping> subscriber_pages;
  };
  struct Owner {
    std::string name;
    Incarnation incarnation;
    std::shared_ptr<PublisherLink> link;
  };

  [[nodiscard]] std::shared_ptr<Core> start_core(const Core* dead);
  [[nodiscard]] std::shared_ptr<PublisherAttachment> attach_publisher(std::size_t stream);
  [[nodiscard]] std::shared_ptr<SubscriberAttachment> attach_subscriber();
  void set_leases();

  MemoryBusOptions options_;
  ManualClock& clock_;
  schemas::Registry registry_ = schemas::Registry::built_in();
  const schemas::EventType* type_;
  std::vector<std::optional<Owner>> owners_;  // a stream each
  std::vector<std::shared_ptr<SubscriberLink>> subscribers_;
  std::vector<std::shared_ptr<Core>> cores_;  // the last one lives; clients may still read the memory of the others
  std::shared_ptr<Core> core_;
};

}  // namespace millrace::testing
