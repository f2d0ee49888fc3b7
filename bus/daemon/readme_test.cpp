// Proves that the README's examples compile as they stand there, and do what it says: ten lines publish, ten subscribe.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "bus/bus.hpp"
#include "bus/daemon/test/processes.hpp"

int publish();                                 // the README's first example
int subscribe(const std::atomic<bool>& stop);  // its second

namespace millrace {
namespace {

TEST(Readme, ItsExamplesPublishAndSubscribe) {
  testing::TestCore core;
  ASSERT_EQ(::setenv("MILLRACE_SOCKET", core.socket().c_str(), 1), 0);
  ASSERT_EQ(publish(), 0);
  ASSERT_EQ(publish(), 0);
  ::testing::internal::CaptureStdout();
  std::atomic<bool> stop{false};
  std::thread subscriber([&] { EXPECT_EQ(subscribe(stop), 0); });
  auto bus = Bus::connect({.name = "test", .socket = core.socket()});
  ASSERT_TRUE(bus);
  EXPECT_TRUE(testing::eventually([&] {
    const auto report = (*bus)->status();
    if (!report) return false;
    for (const auto& topic : report->topics) {
      if (topic->name == "trade_events")
        return topic->recorded_end == 2 && topic->subscribers.size() == 1 && topic->subscribers[0]->lag == 0;
    }
    return false;
  }));
  stop = true;
  subscriber.join();
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "0 MILL 1808080\n1 MILL 1808080\n");
}

}  // namespace
}  // namespace millrace
