#include "subscribers/realtime/gateway.hpp"

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "subscribers/realtime/feeder.hpp"
#include "subscribers/realtime/hub.hpp"
#include "subscribers/realtime/listener.hpp"

namespace millrace::gateway {

namespace {
constexpr std::chrono::nanoseconds tick_max{250'000'000};
constexpr std::chrono::nanoseconds tick_min{1'000'000};
constexpr std::chrono::nanoseconds goodbye_tick{50'000'000};
constexpr int goodbye_ticks = 20;
}  // namespace

class Gateway::Impl {
 public:
  Impl(EventSource& source, GatewayOptions options, const Clock& clock)
      : options_(std::move(options)),
        hub_(io_, source, options_, clock, take_snapshot(source, clock.monotonic())),
        feeder_(source, hub_.counters, infos(hub_), options_.feed_bytes_max,
                [this] { asio::post(io_, [this] { take_updates(); }); }),
        runner_("gw-feeder", feeder_, std::make_unique<BackOffIdle>(), std::nullopt, clock),
        listener_(hub_),
        timer_(io_) {}

  Status start() {
    MILLRACE_TRY(listener_.open());
    work_.emplace(io_.get_executor());
    arm_timer();
    network_ = std::thread([this] {
      ::pthread_setname_np(::pthread_self(), "gw-network");
      io_.run();
    });
    runner_.start();
    return {};
  }

  void stop() {
    if (!network_.joinable()) return;
    runner_.stop();
    asio::post(io_, [this] {
      hub_.stopping = true;
      listener_.close();
      for (const auto& connection : hub_.all()) connection->say_goodbye();
      timer_.cancel();
      hub_.stop_waking();
    });
    hub_.replay_threads.join();
    hub_.core_threads.join();
    // With nothing left to do the io_context returns, and no handler outlives the hub.
    work_.reset();
    network_.join();
  }

  [[nodiscard]] std::uint16_t port() const { return listener_.port(); }
  [[nodiscard]] std::uint64_t count(Counter counter) const { return hub_.counters.get(counter); }

 private:
  static std::vector<TopicInfo> infos(const Hub& hub) {
    std::vector<TopicInfo> out;
    for (const Topic& topic : hub.topics) out.push_back(topic.info);
    return out;
  }

  void take_updates() {
    feeder_.drain([this](Feeder::Update&& update) { hub_.update(std::move(update)); });
    hub_.tell_watchers();
  }

  // One timer for all sessions: what it finds due is late by at most a tick.
  void arm_timer() {
    const auto tick = std::clamp(options_.heartbeat / 4, tick_min, tick_max);
    timer_.expires_after(hub_.stopping ? goodbye_tick : tick);
    timer_.async_wait([this](beast::error_code) {
      hub_.tick();
      listener_.accept();  // again, if it had to pause
      if (hub_.stopping) {
        if (++goodbyes_ > goodbye_ticks) {
          for (const auto& connection : hub_.all()) connection->drop();
        }
        if (hub_.connections.empty()) return;
      }
      arm_timer();
    });
  }

  GatewayOptions options_;
  asio::io_context io_{1};
  Hub hub_;
  Feeder feeder_;
  AgentRunner runner_;
  Listener listener_;
  asio::steady_timer timer_;
  std::optional<asio::executor_work_guard<Executor>> work_;
  int goodbyes_ = 0;
  std::thread network_;
};

Gateway::Gateway(EventSource& source, GatewayOptions options, const Clock& clock)
    : impl_(std::make_unique<Impl>(source, std::move(options), clock)) {}
Gateway::~Gateway() {
  stop();
}
Status Gateway::start() {
  return impl_->start();
}
void Gateway::stop() {
  impl_->stop();
}
std::uint16_t Gateway::port() const {
  return impl_->port();
}
std::uint64_t Gateway::count(Counter counter) const {
  return impl_->count(counter);
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::string_view to_string(PublisherState state) {
  switch (state) {
    case PublisherState::healthy:
      return "healthy";
    case PublisherState::degraded:
      return "degraded";
    case PublisherState::failed:
      return "failed";
    case PublisherState::closed:
      return "closed";
    case PublisherState::disconnected:
      return "disconnected";
    case PublisherState::dead:
      return "dead";
  }
  return "unknown";
}

std::string_view to_string(TopicState state) {
  switch (state) {
    case TopicState::ok:
      return "ok";
    case TopicState::disk_stalled:
      return "disk_stalled";
    case TopicState::failed:
      return "failed";
    case TopicState::not_followed:
      return "not_followed";
    case TopicState::unknown:
      break;
  }
  return "unknown";
}

std::string_view to_string(CoreState state) {
  switch (state) {
    case CoreState::ok:
      return "ok";
    case CoreState::away:
      return "away";
    case CoreState::silent:
      break;
  }
  return "silent";
}

}  // namespace millrace::gateway
