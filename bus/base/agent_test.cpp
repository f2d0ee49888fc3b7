// Proves that a runner steps its agent on its own thread until stopped, and closes it there once.
#include "bus/base/agent.hpp"

#include <gtest/gtest.h>
#include <sched.h>

namespace millrace {
namespace {

struct CountingAgent final : Agent {
  std::atomic<std::uint64_t> steps{0};
  std::atomic<int> closes{0};
  std::thread::id stepped_on, closed_on;

  std::uint64_t do_work(MonotonicTime) override {
    stepped_on = std::this_thread::get_id();
    return steps.fetch_add(1) % 2;
  }
  void on_close() override {
    closed_on = std::this_thread::get_id();
    ++closes;
  }
};

TEST(AgentRunner, StepsUntilStoppedThenClosesOnce) {
  CountingAgent agent;
  AgentRunner runner("counting", agent, std::make_unique<YieldIdle>());
  runner.start();
  while (agent.steps < 100) std::this_thread::yield();
  runner.stop();
  runner.stop();
  EXPECT_EQ(agent.closes, 1);
  EXPECT_EQ(agent.stepped_on, agent.closed_on);
  EXPECT_NE(agent.stepped_on, std::this_thread::get_id());
  EXPECT_GT(runner.last_step().ns, 0);
}

TEST(AgentRunner, KeepsTheSchedulingPolicyThatItsThreadWasGiven) {
  struct PolicyAgent final : Agent {
    std::atomic<int> policy{-1};
    std::uint64_t do_work(MonotonicTime) override { return policy = ::sched_getscheduler(0), 0; }
  };
  PolicyAgent agent;
  std::thread([&agent] {  // whose policy the runner's thread inherits
    const sched_param none{};
    ASSERT_EQ(::sched_setscheduler(0, SCHED_BATCH, &none), 0);
    AgentRunner runner("batch", agent, std::make_unique<YieldIdle>());
    runner.start();
    while (agent.policy < 0) std::this_thread::yield();
  })
      .join();
  EXPECT_EQ(agent.policy, SCHED_BATCH);
}

TEST(IdleStrategy, IsMadeByName) {
  for (const char* name : {"spin", "yield", "back_off"}) EXPECT_TRUE(make_idle_strategy(name)) << name;
  const auto unknown = make_idle_strategy("nap");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("'nap'"), std::string::npos);
}

TEST(BackOffIdle, SleepsAndRecoversWithWork) {
  BackOffIdle idle(
      {.spins = 2, .yields = 2, .min_sleep = std::chrono::nanoseconds(1), .max_sleep = std::chrono::nanoseconds(10)});
  for (int i = 0; i < 100; ++i) idle.idle(0);
  idle.idle(1);
  for (int i = 0; i < 100; ++i) idle.idle(0);
}

}  // namespace
}  // namespace millrace
