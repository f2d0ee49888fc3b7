#include "bench/delivery/iceoryx_chunks.hpp"

#include <signal.h>

#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_posh/internal/roudi/roudi.hpp>
#include <iceoryx_posh/mepoo/mepoo_config.hpp>
#include <iceoryx_posh/popo/publisher.hpp>
#include <iceoryx_posh/popo/subscriber.hpp>
#include <iceoryx_posh/roudi/iceoryx_roudi_components.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#include <memory>

namespace millrace::bench {
namespace {

struct Message {
  Stamp stamp;
  char rest[128 - sizeof(Stamp)];
};

const iox::capro::ServiceDescription service{"bench", "delivery", "chunks"};

[[noreturn]] void run_roudi(int ready) {
  iox::mepoo::MePooConfig pools;
  pools.addMemPool({256, 4096});
  const auto group = iox::posix::PosixGroup::getGroupOfCurrentProcess().getName();
  iox::RouDiConfig_t config;
  config.m_sharedMemorySegments.emplace_back(group, group, pools);
  iox::roudi::IceOryxRouDiComponents components(config);
  iox::roudi::RouDi roudi(components.rouDiMemoryManager, components.portManager,
                          iox::roudi::RouDi::RoudiStartupParameters(iox::roudi::MonitoringMode::OFF, false));
  const char word = 1;
  (void)!::write(ready, &word, 1);
  for (;;) ::pause();
}

}  // namespace

Outcome measure_iceoryx_chunks(const Plan& plan) {
  iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kOff,
                                                           iox::log::LogLevelOutput::kHideLogLevel);
  int ready[2];
  MILLRACE_ASSERT(::pipe(ready) == 0, "a pipe");
  const pid_t roudi = ::fork();
  if (roudi == 0) run_roudi(ready[1]);
  char word;
  MILLRACE_ASSERT(::read(ready[0], &word, 1) == 1, "RouDi starts");

  const auto publisher = []() -> Send {
    iox::runtime::PoshRuntime::initRuntime("bench-publisher");
    auto port = std::make_shared<iox::popo::Publisher<Message>>(service);
    while (!port->hasSubscribers()) _mm_pause();
    return [port](const Stamp& stamp) {
      auto loaned = port->loan();
      if (loaned.has_error()) return false;
      loaned.value()->stamp = stamp;
      loaned.value().publish();
      return true;
    };
  };
  const auto subscriber = []() -> Poll {
    iox::runtime::PoshRuntime::initRuntime("bench-subscriber");
    iox::popo::SubscriberOptions options;
    options.queueCapacity = 256;
    auto port = std::make_shared<iox::popo::Subscriber<Message>>(service, options);
    return [port](const std::function<void(const Stamp&)>& consume) {
      auto taken = port->take();
      if (!taken.has_error()) consume(taken.value()->stamp);
    };
  };
  const Outcome outcome = measure_delivery(plan, publisher, subscriber);
  ::kill(roudi, SIGKILL);
  ::waitpid(roudi, nullptr, 0);
  return outcome;
}

}  // namespace millrace::bench
