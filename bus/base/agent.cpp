#include "bus/base/agent.hpp"

#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace millrace {
namespace {

// An agent wakes up, does a little and sleeps again. With the scheduler's usual slice it would wait, where it shares
// its core with a spinning publisher or reader, until that one's slice is over, milliseconds; and then do milliseconds
// of work at once. A short slice puts it on at once (Linux 6.12 and later; before, this changes nothing).
// Threads that an operator gave a policy of his own, such as a real-time one, keep it.
void ask_for_short_slices() {
  if (::sched_getscheduler(0) != SCHED_OTHER) return;
  struct {
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime, deadline, period;  // nanoseconds
  } attributes{sizeof attributes, SCHED_OTHER, 0, 0, 0, 100'000, 0, 0};
  attributes.nice = ::nice(0);
  (void)::syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace

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
  ask_for_short_slices();
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
