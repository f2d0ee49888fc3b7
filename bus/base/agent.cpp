#include "bus/base/agent.hpp"

#include <pthread.h>
#include <sched.h>

#include <utility>

namespace millrace {

AgentRunner::AgentRunner(std::string name, Agent& agent, std::unique_ptr<IdleStrategy> idle,
                         std::optional<unsigned> cpu, const Clock& clock)
    : name_(std::move(name)), agent_(agent), idle_(std::move(idle)), cpu_(cpu), clock_(clock) {}

void AgentRunner::start() {
  stopping_ = false;
  thread_ = std::thread([this] { run(); });
}

void AgentRunner::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void AgentRunner::run() {
  ::pthread_setname_np(::pthread_self(), name_.substr(0, 15).c_str());
  if (cpu_) (void)pin_this_thread(*cpu_);
  while (!stopping_.load(std::memory_order_relaxed)) {
    const MonotonicTime now = clock_.monotonic();
    last_step_.store(now.ns, std::memory_order_relaxed);
    idle_->idle(agent_.do_work(now));
  }
  agent_.on_close();
}

bool pin_this_thread(unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set) == 0;
}

}  // namespace millrace
