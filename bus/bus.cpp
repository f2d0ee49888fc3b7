#include "bus/bus.hpp"

#include <unistd.h>

#include <cstdlib>

#include "bus/conductor.hpp"

namespace millrace {

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
  auto attached = conductor_->attach_subscriber(topic, options.level);
  if (!attached) return fail(attached.error());
  if (options.level == Level::live) {
    return Subscriber(LiveReader(std::move(*attached), std::move(options.on_gap)), *description->type);
  }
  auto follower = Follower::open(std::move(*attached), options.level, options.start, std::move(options.on_gap));
  if (!follower) return fail(follower.error());
  return Subscriber(std::move(*follower), *description->type);
}

Result<control::StatusReportT> Bus::status() {
  return conductor_->status();
}

bool Bus::connected() const {
  return conductor_->connected();
}

}  // namespace millrace
