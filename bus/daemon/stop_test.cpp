// Proves that an orderly stop loses nothing and ends nobody: what was published before is on the disk, publishers,
// subscribers and WebSocket clients are told, and go on by themselves with the next core.
#include <gtest/gtest.h>
#include <unistd.h>

#include "bus/daemon/test/clients.hpp"
#include "subscribers/realtime/testing/processes.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace {
namespace {

using gateway::testing::Stream;
using testing::eventually;
using testing::Follow;
using testing::TestCore;

std::uint64_t events_in_log(const TestCore& core) {
  std::uint64_t count = 0;
  auto log = wal::Reader::open(wal::posix_file_system(), core.log_folder("trade_events"));
  EXPECT_TRUE(log);
  for (auto batch = log->next(); batch && *batch; batch = log->next()) {
    wal::EventCursor cursor(**batch);
    while (cursor.next()) ++count;
  }
  return count;
}

TEST(Stop, LosesNothingAndEndsNobody) {
  TestCore core("", false);
  const std::uint16_t port = gateway::testing::free_port();
  gateway::testing::with_gateway(core, port);
  core.start();
  auto bus = gateway::testing::connect(core);
  ASSERT_TRUE(gateway::testing::becomes(port, 200));
  Stream stream(port, {});
  auto publisher = bus->publisher("trade_events", "maker");
  ASSERT_TRUE(publisher);
  Follow follow(*bus);
  std::uint64_t published = 0;
  const auto publish = [&] {
    const Published done = testing::publish_numbered(*publisher);
    if (done) published = done.sequence.value();
    return done.status;
  };
  for (int life = 0; life < 3; ++life) {
    while (publish() == PublishStatus::disconnected) follow.poll();
    const std::uint64_t before = published;
    ASSERT_TRUE(eventually([&] { return publish(), follow.poll(), published > before + 1000; }));
    core.process().signal(SIGTERM);
    // It goes on publishing at full speed until it is told.
    PublishStatus status = PublishStatus::ok;
    ASSERT_TRUE(eventually([&] {
      for (int i = 0; i < 100 && status != PublishStatus::disconnected; ++i) status = publish();
      return status == PublishStatus::disconnected;
    }));
    EXPECT_EQ(core.process().wait(), 0) << core.process().errors();
    EXPECT_EQ(events_in_log(core), published) << "all that was published is in the log of the core that ended";
    EXPECT_EQ(publish(), PublishStatus::disconnected);
    const auto report = bus->status();
    EXPECT_TRUE(!report && report.error().code == ErrorCode::disconnected);
    EXPECT_NE(::access((core.folder() + "/run/manifest").c_str(), F_OK), 0) << "nothing is left to salvage";
    core.start();
    EXPECT_EQ(core.process().errors().find("saved from memory"), std::string::npos);
    ASSERT_TRUE(eventually([&] { return publish() == PublishStatus::ok; })) << "the publisher is back";
    ASSERT_TRUE(eventually([&] { return follow.poll(), follow.count() == published; }))
        << follow.count() << " of " << published;
    ASSERT_TRUE(stream.to(published)) << "and so is the WebSocket client";
  }
  EXPECT_GE(stream.resumed(), 3u);
}

}  // namespace
}  // namespace millrace
