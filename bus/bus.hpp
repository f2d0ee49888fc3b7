// The door to millrace for a process that publishes or subscribes. Runs no iceoryx: the core hands out descriptors over
// its control socket, and one thread of this process (the conductor) keeps that socket, reconnects when the core comes
// back, and attaches every publisher and subscriber again.
//
//   auto bus = millrace::Bus::connect({.name = "my-strategy"});
//   auto publisher = (*bus)->publisher("trade_events", "my-strategy");
//   auto subscriber = (*bus)->subscribe("market_l2", {.level = millrace::Level::live});
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bus/control/codec.hpp"
#include "bus/held_consumer.hpp"
#include "bus/publisher.hpp"
#include "bus/subscriber.hpp"

namespace millrace {

struct BusOptions {
  std::string name = "client";  // shown in status
  std::string socket{};         // the core's control socket; empty: default_socket_path()
  std::chrono::nanoseconds timeout = std::chrono::seconds(10);  // of connect and of each request
};

// $MILLRACE_SOCKET, else control.sock in $XDG_RUNTIME_DIR/millrace, else in /run/millrace.
[[nodiscard]] std::string default_socket_path();

struct TopicDescription {
  std::string name;
  const schemas::EventType* type;  // lives as long as the bus
  std::string log_folder;
  std::size_t largest_payload = 0;
  std::uint32_t publishers = 0;
};

struct SubscribeOptions {
  Level level;                  // no default: what a subscription relies on is always said
  Start start = StartLatest{};  // level live always begins at the latest
  Follower::OnGap on_gap{};
  // A durable consumer's name: it begins at its checkpoint, a new one at `start`, and acknowledges what it has dealt
  // with. At level synced only.
  std::string consumer{};
  bool take_over = false;  // fence off the process that has the consumer's name, if one does
  // Begin with a snapshot: the latest event of each key (schemas/README.md) before `start`, or before a durable
  // consumer's checkpoint, ascending by offset, with `snapshot` set in each Event; then everything from there on. Not
  // at level live. Reads the log, so subscribe() takes longer: some milliseconds for a segment, and little for older
  // ones.
  bool snapshot = false;
  // After the snapshot's last event, also where it is empty: what comes next is everything from this offset on. Again
  // after a gap `rolled_back`: then the values are anew those before where the log goes on.
  std::function<void(Offset)> on_snapshot_end{};
};

class Conductor;

// Publishers and subscribers end before the bus that made them. Any thread.
class Bus {
 public:
  // Errors: timed_out (no core answers at the socket: start millraced), not_permitted, unsupported (another release),
  // exhausted (the core has no seat left, for anybody or for this user), too_large (the name).
  [[nodiscard]] static Result<std::unique_ptr<Bus>> connect(BusOptions options = {});
  ~Bus();

  [[nodiscard]] std::vector<TopicDescription> topics() const;
  [[nodiscard]] Result<TopicDescription> topic(const std::string& name) const;
  [[nodiscard]] const schemas::Registry& registry() const;

  // `name`: of the publisher within the topic; its sequence goes on where the last process of that name ended.
  // `take_over`: kill the process that has the name, if one does.
  // Errors: not_found (topic), not_permitted, in_use (a living process has the name), exhausted, timed_out.
  [[nodiscard]] Result<Publisher> publisher(const std::string& topic, const std::string& name, bool take_over = false);
  // Errors: not_found, exhausted, timed_out, in_use (a living process has the consumer's name), invalid_argument (a
  // snapshot at level live, or of events without a key), and those of Follower::open.
  [[nodiscard]] Result<Subscriber> subscribe(const std::string& topic, SubscribeOptions options);
  // A durable consumer's name alone, for who has the events from elsewhere. `start`: where a new one begins. Errors:
  // as subscribe(), but for a checkpoint that is deleted.
  struct HoldOptions {
    std::string consumer;
    Start start = StartLatest{};
    bool take_over = false;
  };
  [[nodiscard]] Result<HeldConsumer> hold(const std::string& topic, const HoldOptions& options);
  [[nodiscard]] Result<control::StatusReportT> status();
  // What became of an event of any publisher. Errors: see Publisher::outcome.
  [[nodiscard]] Result<Outcome> outcome(const std::string& topic, const PublishPosition& position);

  // The durable consumer begins there from now on; who has its name is fenced off. Errors: not_found, not_permitted,
  // those of find_start().
  [[nodiscard]] Status reset_consumer(const std::string& topic, const std::string& consumer, const Start& start);
  // Errors: not_found, not_permitted, in_use.
  [[nodiscard]] Status delete_consumer(const std::string& topic, const std::string& consumer);
  // Opens a topic again that a disk failure has closed; nothing that was published is lost. Errors: not_found,
  // not_permitted, io_failed (the disk still fails), no_space.
  [[nodiscard]] Status reopen(const std::string& topic);

  [[nodiscard]] bool connected() const;

 private:
  explicit Bus(std::unique_ptr<Conductor> conductor);
  std::unique_ptr<Conductor> conductor_;
};

}  // namespace millrace
