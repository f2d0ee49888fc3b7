// One topic of the core: its rings and who writes them, its subscriptions and what they lease, its recorder. Owned by
// the control thread; the recorder alone belongs to the disk's.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/fd.hpp"
#include "bus/control/server.hpp"
#include "bus/daemon/config.hpp"
#include "bus/event.hpp"
#include "bus/recorder/consumers.hpp"
#include "bus/recorder/topic_recorder.hpp"
#include "bus/ring/pages.hpp"
#include "bus/ring/watermarks.hpp"
#include "schemas/registry.hpp"

namespace millrace::daemon {

// Who has a ring, or had it last.
struct Owner {
  enum class Phase {
    none,
    admitting,  // its epoch is on its way to the disk
    writing,
    gone,  // dead, or said goodbye: the ring is free
  };
  Phase phase = Phase::none;
  std::string name;
  control::ClientId client = 0;
  Incarnation incarnation;
  pid_t pid = 0;
  bool connected = true;
  bool given_back = false;  // before it was admitted: released as soon as it is
  PublisherId id;
  Epoch epoch;
  Sequence last_sequence;  // as it was admitted
  control::PublisherState state = control::PublisherState::healthy;
  std::string reason;
  std::uint64_t progress = 0;  // as last seen
  MonotonicTime progress_seen;
  MonotonicTime state_since;

  [[nodiscard]] bool holds() const { return phase == Phase::admitting || phase == Phase::writing; }
};

// A ring in the segment.
struct RingMemory {
  std::span<std::byte> bytes;
  std::uint64_t offset = 0;  // in the segment's file
};

struct Stream {
  RingMemory memory;
  std::unique_ptr<ring::Pages> pages;
  Owner owner;
};

struct Subscription {
  Incarnation client;
  std::string name;
  pid_t pid = 0;
  Level level = Level::live;
  std::uint64_t attached_at = 0;  // the recorded end then
  UniqueFd fd;
  Mapping page;

  [[nodiscard]] const ring::SubscriberPage& words() const {
    return *reinterpret_cast<const ring::SubscriberPage*>(page.data());
  }
};

class Topic {
 public:
  // `rings`: one a publisher, zeroed. `log`: open and salvaged. `consumers`: the durable ones, as stored. Errors: a
  // ring that holds no page, no memory.
  [[nodiscard]] static Result<std::unique_ptr<Topic>> create(const TopicConfig& config, const schemas::EventType& type,
                                                             std::vector<RingMemory> rings, wal::Writer log,
                                                             std::string log_folder,
                                                             std::vector<wal::ConsumerRecord> consumers);

  [[nodiscard]] const TopicConfig& config() const { return config_; }
  [[nodiscard]] const schemas::EventType& type() const { return type_; }
  [[nodiscard]] const std::string& log_folder() const { return log_folder_; }
  [[nodiscard]] LogId log_id() const { return log_id_; }
  [[nodiscard]] Run run() const { return Run(marks().topic.run.load(std::memory_order_acquire)); }
  [[nodiscard]] std::vector<Stream>& streams() { return streams_; }
  [[nodiscard]] const ring::Watermarks& marks() const {
    return *reinterpret_cast<const ring::Watermarks*>(marks_.mapping.data());
  }
  [[nodiscard]] int marks_fd() const { return marks_.fd.get(); }
  [[nodiscard]] int order_fd() const { return order_.fd.get(); }
  [[nodiscard]] std::size_t order_bytes() const { return order_.mapping.size(); }
  [[nodiscard]] TopicRecorder& recorder() { return *recorder_; }
  [[nodiscard]] Consumers& consumers() { return *consumers_; }

  // The stream that `name` has, or had last; else one that is free; nullopt if every ring has a living owner.
  [[nodiscard]] std::optional<std::size_t> stream_for(const std::string& name) const;

  [[nodiscard]] const std::map<std::uint64_t, Subscription>& subscriptions() const { return subscriptions_; }
  // Errors: exhausted, no_space.
  [[nodiscard]] Status subscribe(std::uint64_t id, Subscription subscription);
  void unsubscribe(std::uint64_t id);
  void unsubscribe_all(const Incarnation& client);

  // Grants and recycles pages of all streams.
  std::uint64_t do_work();

 private:
  Topic(const TopicConfig& config, const schemas::EventType& type, std::string log_folder)
      : config_(config), type_(type), log_folder_(std::move(log_folder)) {}
  void set_leases();

  const TopicConfig& config_;
  const schemas::EventType& type_;
  std::string log_folder_;
  LogId log_id_;
  ReadOnlyShare marks_;
  ReadOnlyShare order_;
  std::vector<Stream> streams_;
  std::unique_ptr<TopicRecorder> recorder_;
  std::unique_ptr<Consumers> consumers_;
  std::map<std::uint64_t, Subscription> subscriptions_;
};

}  // namespace millrace::daemon
