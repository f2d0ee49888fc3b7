#include "bus/bus.hpp"

#include <unistd.h>

#include <cstdlib>

#include "bus/conductor.hpp"
#include "bus/outcome.hpp"
#include "bus/snapshot_keys.hpp"

namespace millrace {

namespace {

// Nothing for the latest: the core knows it.
Result<std::optional<Offset>> find_offset(const TopicDescription& topic, const Start& start) {
  if (std::holds_alternative<StartLatest>(start)) return std::nullopt;
  auto log = wal::Reader::open(wal::posix_file_system(), topic.log_folder);
  if (!log) return fail(log.error());
  const auto end = log->end_offset();
  if (!end) return fail(end.error());
  const auto found = find_start(*log, start, *end, Run(~std::uint64_t{0}));
  if (!found) return fail(found.error());
  return *found;
}

}  // namespace

std::string default_socket_path() {
  if (const char* socket = std::getenv("MILLRACE_SOCKET")) return socket;
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && ::getuid() != 0) {
    return std::string(runtime) + "/millrace/control.sock";
  }
  return "/run/millrace/control.sock";
}

Bus::Bus(std::unique_ptr<Conductor> conductor) : conductor_(std::move(conductor)) {}
Bus::~Bus() = default;

Result<std::unique_ptr<Bus>> Bus::connect(BusOptions options) {
  if (options.socket.empty()) options.socket = default_socket_path();
  auto conductor = std::make_unique<Conductor>(std::move(options));
  MILLRACE_TRY(conductor->start());
  return std::unique_ptr<Bus>(new Bus(std::move(conductor)));
}

std::vector<TopicDescription> Bus::topics() const {
  return conductor_->topics();
}

Result<TopicDescription> Bus::topic(const std::string& name) const {
  std::string known;
  for (TopicDescription& topic : conductor_->topics()) {
    if (topic.name == name) return std::move(topic);
    known += (known.empty() ? "" : ", ") + topic.name;
  }
  return fail(ErrorCode::not_found, "no topic '" + name + "'; the core has: " + known);
}

const schemas::Registry& Bus::registry() const {
  return conductor_->registry();
}

Result<Publisher> Bus::publisher(const std::string& topic, const std::string& name, bool take_over) {
  const auto description = this->topic(topic);
  if (!description) return fail(description.error());
  auto attached = conductor_->attach_publisher(topic, name, take_over);
  if (!attached) return fail(attached.error());
  return Publisher(std::move(*attached), *description->type);
}

Result<Subscriber> Bus::subscribe(const std::string& topic, SubscribeOptions options) {
  const auto description = this->topic(topic);
  if (!description) return fail(description.error());
  if (options.snapshot && options.level == Level::live) {
    return fail(ErrorCode::invalid_argument,
                "level live knows no offsets that a snapshot could end at: subscribe at level recorded or synced");
  }
  if (options.snapshot && description->type->key_field().empty()) {
    return fail(ErrorCode::invalid_argument, "the events of topic '" + topic +
                                                 "' have no key to take the latest of each of: give it a key_field in "
                                                 "the core's configuration, or subscribe without a snapshot");
  }
  SubscriberRequest request{options.level, options.consumer, options.take_over, std::nullopt};
  if (!options.consumer.empty()) {
    const auto start = find_offset(*description, options.start);
    if (!start) return fail(start.error());
    request.start = *start;
  }
  auto attached = conductor_->attach_subscriber(topic, request);
  if (!attached) return fail(attached.error());
  if (options.level == Level::live) {
    return Subscriber(LiveReader(std::move(*attached), std::move(options.on_gap)), *description->type);
  }
  std::optional<Follower::Snapshot> snapshot;
  if (options.snapshot) snapshot = {snapshot_keys(*description->type), std::move(options.on_snapshot_end)};
  auto follower = Follower::open(std::move(*attached), options.level, options.start, std::move(options.on_gap),
                                 std::move(snapshot));
  if (!follower) return fail(follower.error());
  return Subscriber(std::move(*follower), *description->type);
}

Result<HeldConsumer> Bus::hold(const std::string& topic, const HoldOptions& options) {
  const auto description = this->topic(topic);
  if (!description) return fail(description.error());
  if (options.consumer.empty()) return fail(ErrorCode::invalid_argument, "a durable consumer has a name");
  const auto start = find_offset(*description, options.start);
  if (!start) return fail(start.error());
  auto attached = conductor_->attach_subscriber(topic, {Level::synced, options.consumer, options.take_over, *start});
  if (!attached) return fail(attached.error());
  if (!attached->first->consumer) return fail(ErrorCode::internal, "the core attached a consumer without its name");
  return HeldConsumer(std::move(*attached));
}

Result<control::StatusReportT> Bus::status() {
  return conductor_->status();
}

Result<Outcome> Bus::outcome(const std::string& topic, const PublishPosition& position) {
  const auto report = status();
  if (!report) return fail(report.error());
  const auto description = this->topic(topic);
  if (!description) return fail(description.error());
  Offset synced_end;
  for (const auto& one : report->topics) {
    if (one->name == topic) synced_end = Offset(one->synced_end);
  }
  return outcome_of(wal::posix_file_system(), description->log_folder, position, synced_end);
}

Status Bus::reset_consumer(const std::string& topic, const std::string& consumer, const Start& start) {
  const auto description = this->topic(topic);
  if (!description) return fail(description.error());
  auto offset = find_offset(*description, start);
  if (!offset) return fail(offset.error());
  if (!*offset) {  // the latest
    const auto report = status();
    if (!report) return fail(report.error());
    for (const auto& one : report->topics) {
      if (one->name == topic) *offset = Offset(one->synced_end);
    }
  }
  control::ResetConsumerT reset;
  reset.topic = topic;
  reset.consumer = consumer;
  reset.offset = (*offset)->value();
  return conductor_->command(control::make_message(std::move(reset)));
}

Status Bus::delete_consumer(const std::string& topic, const std::string& consumer) {
  control::DeleteConsumerT remove;
  remove.topic = topic;
  remove.consumer = consumer;
  return conductor_->command(control::make_message(std::move(remove)));
}

Status Bus::reopen(const std::string& topic) {
  control::ReopenTopicT reopen;
  reopen.topic = topic;
  return conductor_->command(control::make_message(std::move(reopen)));
}

bool Bus::connected() const {
  return conductor_->connected();
}

}  // namespace millrace
