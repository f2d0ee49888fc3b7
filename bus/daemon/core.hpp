// The control thread of millraced: grants pages, answers clients, fences the dead.
// Touches no file and waits for nobody.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/base/agent.hpp"
#include "bus/control/server.hpp"
#include "bus/daemon/consumer_store.hpp"
#include "bus/daemon/disk.hpp"
#include "bus/daemon/health.hpp"
#include "bus/daemon/topic.hpp"
#include "bus/daemon/watch.hpp"

namespace millrace::daemon {

struct SegmentFds {
  int read_write = -1;
  int read_only = -1;
  std::uint64_t bytes = 0;  // of shared memory, for status
};

class Core final : public Agent, private control::Server::Handler {
 public:
  // All outlive it. `disk` records the topics in the order given.
  Core(const Config& config, std::vector<std::unique_ptr<Topic>>& topics, Disk& disk, control::Server server,
       SegmentFds segment, std::vector<wal::Checkpoints> checkpoints, const Clock& clock);

  std::uint64_t do_work(MonotonicTime now) override;
  // Tells every client that the core ends.
  void on_close() override;
  // The durable consumers' checkpoints: its thread is started and stopped with the disk's.
  [[nodiscard]] ConsumerStore& consumer_store() { return consumer_store_; }

 private:
  // A publisher's request that waits: for its epoch to be on the disk, or for the one it replaces to be dead.
  struct Request {
    control::ClientId client = 0;
    std::uint64_t correlation = 0;
    std::size_t topic = 0;
    std::size_t stream = 0;
    std::string name;
    Incarnation incarnation;
    Incarnation replaced{};  // whose death it waits for, if it takes over
  };

  void on_hello(const control::Client& client, std::uint64_t correlation) override;
  void on_message(const control::Client& client, const control::MessageT& message) override;
  bool on_disconnected(const control::Client& client) override;
  void on_dead(const control::Client& client) override;

  void attach_publisher(const control::Client& client, std::uint64_t correlation,
                        const control::AttachPublisherT& request);
  void attach_subscriber(const control::Client& client, std::uint64_t correlation,
                         const control::AttachSubscriberT& request);
  // Empty if the request names no durable consumer.
  [[nodiscard]] Status claim_consumer(const control::Client& client, Topic& topic, std::uint64_t subscription,
                                      const control::AttachSubscriberT& request,
                                      control::SubscriberAttachedT& attached);
  void manage_consumer(const control::Client& client, std::uint64_t correlation, const std::string& topic,
                       const std::function<Status(Topic&)>& change);
  void reopen(const control::Client& client, std::uint64_t correlation, const std::string& topic);
  // Its topic's writers, and root and the core's own user, may change what others rely on.
  [[nodiscard]] Result<std::size_t> may_manage(const control::Client& client, const std::string& topic) const;
  void send_subscribed(const ConsumerStore::Waiting& subscribed);
  [[nodiscard]] Status may_publish(const control::Client& client, const TopicConfig& topic,
                                   const std::string& name) const;
  void admit(const control::Client& client, Request request);
  void on_admitted(const Admitted& admitted);
  void answer_attached(const Request& request, const Owner& owner, bool resumed);
  void answer_in_use(const Request& request, const Owner& owner);
  void answer_error(control::ClientId client, std::uint64_t correlation, const Error& error);
  void release(std::size_t topic, std::size_t stream, control::PublisherState state, schemas::HealthReason reason);

  [[nodiscard]] std::optional<std::size_t> find_topic(const std::string& name) const;
  [[nodiscard]] Result<std::size_t> topic_or_error(const std::string& name) const;
  void open_health();
  [[nodiscard]] control::StatusReportT status() const;

  const Config& config_;
  std::vector<std::unique_ptr<Topic>>& topics_;
  Disk& disk_;
  control::Server server_;
  SegmentFds segment_;
  const Clock& clock_;
  Incarnation incarnation_{random_uuid_bytes()};
  MonotonicTime started_;
  MonotonicTime served_;  // when clients were last looked at
  std::uint64_t next_token_ = 1;
  std::uint64_t next_subscription_ = 1;
  std::map<std::uint64_t, Request> admitting_;  // by token
  std::vector<std::pair<control::Client, Request>> taking_over_;
  ConsumerStore consumer_store_;
  HealthJournal health_;
  Watch watch_;
};

}  // namespace millrace::daemon
