// Proves that the README's examples compile as they stand there, and do what it says: ten lines publish, ten subscribe.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "bus/daemon/test/clients.hpp"

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
  const auto bus = testing::connect(core);
  ASSERT_NE(bus, nullptr);
  EXPECT_TRUE(testing::eventually([&] {
    const auto topic = testing::trade_events_status(*bus);
    return topic && topic->recorded_end == 2 && topic->subscribers.size() == 1 && topic->subscribers[0]->lag == 0;
  }));
  stop = true;
  subscriber.join();
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "0 MILL 1808080\n1 MILL 1808080\n");
}

}  // namespace
}  // namespace millrace
