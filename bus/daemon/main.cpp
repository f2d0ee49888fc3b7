// millraced: the core. Rings in iceoryx shared memory, the control socket, the log, health.
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bus/base/log.hpp"
#include "bus/daemon/config.hpp"
#include "bus/daemon/core.hpp"
#include "bus/daemon/disk.hpp"
#include "bus/daemon/gateway_process.hpp"
#include "bus/daemon/manifest.hpp"
#include "bus/daemon/memory_plan.hpp"
#include "bus/daemon/notify.hpp"
#include "bus/daemon/shared_segment.hpp"
#include "bus/daemon/supervise.hpp"
#include "bus/daemon/topic.hpp"
#include "bus/log_schema.hpp"
#include "bus/snapshot_keys.hpp"
#include "wal/posix_file_system.hpp"

namespace millrace::daemon {
namespace {

using namespace std::chrono_literals;

int complain(const Error& error) {
  std::fprintf(stderr, "millraced: %s\n", error.message.c_str());
  return error.code == ErrorCode::invalid_argument ? 2 : 1;
}

Status make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return fail_errno("cannot make folder " + path, error.value());
  return {};
}

Result<schemas::Registry> make_registry(const Config& config) {
  schemas::Registry registry = schemas::Registry::built_in();
  for (const TopicConfig& topic : config.topics) {
    if (topic.schema.empty()) continue;
    const auto added =
        registry.add_user_schema(topic.type, topic.event_type, topic.schema, topic.root, topic.key_field);
    if (!added) return fail(added.error().code, "topic '" + topic.name + "': " + added.error().message);
  }
  return registry;
}

struct OpenLog {
  std::string folder;
  wal::Writer writer;
  wal::Checkpoints checkpoints;
};

// Opens the topic's log, which ends a torn tail, and saves what a dead core left in memory.
Result<OpenLog> open_log_of(const TopicConfig& topic, const Config& config, const schemas::EventType& type,
                            const std::optional<DeadSegment>& dead) {
  const std::string folder = config.log_dir + "/" + topic.name;
  const WallTime now = system_clock().wall();
  wal::WriterOptions options = topic.log;
  if (!type.key_field().empty()) options.keys = std::make_shared<const wal::KeyDefinition>(snapshot_keys(type));
  auto writer = wal::Writer::open(wal::posix_file_system(), folder, options, now);
  if (!writer) return fail(writer.error().code, "log of topic '" + topic.name + "': " + writer.error().message);
  if (dead) {
    const auto saved = dead->salvage_topic(topic.name, *writer, may_lose(topic.stall_policy, topic.log.policy), now);
    if (!saved) return fail(saved.error());
    if (*saved > 0) log().warn("topic {}: {} events of the core before were saved from memory", topic.name, *saved);
    MILLRACE_TRY(writer->sync());
  }
  // Only now: what was saved was published by the schema before.
  MILLRACE_TRY(keep_schema(wal::posix_file_system(), folder, type, writer->next_offset()));
  auto checkpoints = wal::Checkpoints::open(wal::posix_file_system(), folder, writer->log_id());
  if (!checkpoints) {
    return fail(checkpoints.error().code, "topic '" + topic.name + "': " + checkpoints.error().message);
  }
  return OpenLog{folder, std::move(*writer), std::move(*checkpoints)};
}

class Daemon {
 public:
  explicit Daemon(const Config& config) : config_(config) {}

  [[nodiscard]] Status start();
  // Until SIGTERM or SIGINT.
  void run(Notify& notify);

 private:
  // Opens each topic's log, and saves what a dead core left in memory.
  [[nodiscard]] Result<std::vector<OpenLog>> open_logs() const;
  [[nodiscard]] Status start_topics(std::vector<OpenLog> logs);

  const Config& config_;
  std::optional<schemas::Registry> registry_;
  std::unique_ptr<SharedSegment> segment_;
  std::vector<std::unique_ptr<Topic>> topics_;
  std::vector<wal::Checkpoints> checkpoints_;  // one a topic, until the core takes them
  std::unique_ptr<Disk> disk_;
  std::unique_ptr<Core> core_;
};

Status Daemon::start() {
  auto registry = make_registry(config_);
  if (!registry) return fail(registry.error());
  registry_.emplace(std::move(*registry));
  MILLRACE_TRY(make_folder(config_.runtime_dir));
  MILLRACE_TRY(make_folder(config_.log_dir));
  auto server = control::Server::open(config_.socket_path(), 0666, {});  // rights are checked message by message
  if (!server) return fail(server.error());

  std::vector<RingRequest> rings;
  for (const TopicConfig& topic : config_.topics) {
    for (std::uint32_t i = 0; i < topic.publishers; ++i) {
      rings.push_back({topic.name, "stream" + std::to_string(i), topic.ring_bytes});
    }
  }
  // All of the dead core's memory is in the log before RouDi purges it: this core may die, too.
  MILLRACE_TRY(SharedSegment::check(rings));
  auto logs = open_logs();
  if (!logs) return fail(logs.error());
  auto segment = SharedSegment::start(rings);
  if (!segment) return fail(segment.error());
  segment_ = std::move(*segment);
  MILLRACE_TRY(start_topics(std::move(*logs)));

  std::vector<TopicRecorder*> recorders;
  for (const auto& topic : topics_) recorders.push_back(&topic->recorder());
  auto disk_idle = make_idle_strategy(config_.disk.idle);
  if (!disk_idle) return fail(disk_idle.error());
  disk_ = std::make_unique<Disk>(std::move(recorders), system_clock(), std::move(*disk_idle), config_.disk.cpu);
  const SegmentFds fds{segment_->fd_read_write(), segment_->fd_read_only(), segment_->bytes()};
  core_ = std::make_unique<Core>(config_, topics_, *disk_, std::move(*server), fds, std::move(checkpoints_),
                                 system_clock());
  return {};
}

Result<std::vector<OpenLog>> Daemon::open_logs() const {
  const std::optional<DeadSegment> dead = DeadSegment::open(config_.manifest_path());
  std::vector<OpenLog> logs;
  for (const TopicConfig& config : config_.topics) {
    const schemas::EventType* type = registry_->find(config.type);
    MILLRACE_ASSERT(type != nullptr, "the configuration names known types only");
    auto log = open_log_of(config, config_, *type, dead);
    if (!log) return fail(log.error());
    logs.push_back(std::move(*log));
  }
  return logs;
}

Status Daemon::start_topics(std::vector<OpenLog> logs) {
  Manifest manifest{segment_->file_path(), {}};
  std::size_t next = 0;
  for (std::size_t t = 0; t < logs.size(); ++t) {
    const TopicConfig& config = config_.topics[t];
    OpenLog& log = logs[t];
    std::vector<RingMemory> rings;
    const std::size_t first = next;
    for (std::uint32_t i = 0; i < config.publishers; ++i, ++next) {
      rings.push_back({{segment_->ring(next), config.ring_bytes}, segment_->ring_offset(next)});
      manifest.rings.push_back({config.name, segment_->ring_offset(next), config.ring_bytes});
    }
    auto topic = Topic::create(config, *registry_->find(config.type), std::move(rings), std::move(log.writer),
                               log.folder, log.checkpoints.records());
    if (!topic) return fail(topic.error());
    checkpoints_.push_back(std::move(log.checkpoints));
    for (std::size_t i = first; i < next; ++i) segment_->announce(i);
    topics_.push_back(std::move(*topic));
  }
  return write_manifest(config_.manifest_path(), manifest);
}

void Daemon::run(Notify& notify) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  disk_->start();
  core_->consumer_store().start();
  AgentRunner control("control", *core_, std::move(*make_idle_strategy(config_.control.idle)), config_.control.cpu);
  control.start();
  std::unique_ptr<GatewayProcess> gateway;
  if (config_.gateway.enabled) gateway = std::make_unique<GatewayProcess>(config_.gateway_command());
  notify.ready();
  log().info("millraced is ready: {} topics, control socket {}", topics_.size(), config_.socket_path());
  const timespec interval{0, std::chrono::nanoseconds(50ms).count()};
  int signal = 0;
  while (signal != SIGTERM && signal != SIGINT) {
    const MonotonicTime now = system_clock().monotonic();
    if (gateway) gateway->do_work(now);
    notify.watch(now, control.last_step());
    signal = ::sigtimedwait(&signals, nullptr, &interval);
  }
  notify.stopping();
  log().info("millraced ends: draining and syncing");
  if (gateway) gateway->stop();
  control.stop();
  disk_->stop();
  core_->consumer_store().stop();             // last, since nothing is acknowledged that is not synced
  ::unlink(config_.manifest_path().c_str());  // all is recorded: there is nothing to salvage
}

int main(int argc, char** argv) {
  CLI::App app{"millraced: the core of the millrace event bus"};
  std::string config_path, level = "info";
  bool check = false, supervised = false;
  app.add_option("-c,--config", config_path, "TOML configuration; without one, the defaults");
  app.add_option("--log-level", level, "trace, debug, info, warn, error or off")->capture_default_str();
  app.add_flag("--check", check, "check the configuration, print what it takes and what it bridges, and end");
  app.add_flag("--supervise", supervised, "start the core as a child, and again whenever it ends badly");
  CLI11_PARSE(app, argc, argv);

  const auto config = config_path.empty() ? Result<Config>(default_config()) : load_config(config_path);
  if (!config) return complain(config.error());
  if (check) {
    std::fputs(print_check(*config).c_str(), stdout);
    return 0;
  }
  if (supervised) {
    std::error_code error;
    std::vector<std::string> command{std::filesystem::read_symlink("/proc/self/exe", error).string()};
    if (!config_path.empty()) command.insert(command.end(), {"--config", config_path});
    command.insert(command.end(), {"--log-level", level});
    return supervise(std::move(command));
  }
  Notify notify = Notify::from_environment();
  // Blocked in every thread: run() waits for them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is a failed write, not the end of the core
  open_log("millraced", level);
  int status = 0;
  {
    Daemon daemon(*config);
    if (const Status started = daemon.start(); started) {
      daemon.run(notify);
    } else {
      status = complain(started.error());
    }
  }
  close_log();
  return status;
}

}  // namespace
}  // namespace millrace::daemon

int main(int argc, char** argv) {
  return millrace::daemon::main(argc, argv);
}
