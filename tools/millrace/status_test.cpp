// Proves that the status shows every part of a report, with rates between two of them, as text and as JSON; and that
// the doctor tells a fit host from an unfit one.
#include "tools/millrace/status.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "bus/base/temporary_folder.hpp"
#include "tools/millrace/doctor.hpp"

namespace millrace::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

control::StatusReportT report(std::uint64_t events) {
  control::StatusReportT report;
  report.pid = 42;
  report.run_seconds = 7300;
  report.shared_bytes = 173'000'000;
  report.clients = 3;
  report.reasons = {"topic trade_events: the \"disk\" stalls"};
  auto topic = std::make_unique<control::TopicStatusT>();
  topic->name = "trade_events";
  topic->state = control::TopicState::disk_stalled;
  topic->recorded_end = events;
  topic->synced_end = events - 1;
  topic->events = events;
  auto publisher = std::make_unique<control::PublisherStatusT>();
  publisher->name = "engine";
  publisher->id = 1;
  publisher->epoch = 5;
  publisher->pid = 43;
  publisher->last_sequence = 8;
  publisher->state = control::PublisherState::degraded;
  publisher->reason = "no progress";
  topic->publishers.push_back(std::move(publisher));
  auto subscriber = std::make_unique<control::SubscriberStatusT>();
  subscriber->name = "gateway";
  subscriber->level = control::Level::recorded;
  subscriber->lag = 17;
  subscriber->state = control::ConsumerState::lagging;
  subscriber->reason = "17 events behind";
  topic->subscribers.push_back(std::move(subscriber));
  report.topics.push_back(std::move(topic));
  return report;
}

TEST(Status, ShowsRatesBetweenTwoReports) {
  const auto before = report(1000), now = report(4000);
  const std::string json = status_json({before, now, 1500ms, 0, 0});
  EXPECT_THAT(json, HasSubstr("\"events\":4000,\"events_per_second\":2000,"));
}

TEST(Status, ShowsNoRateAcrossTwoCores) {
  auto before = report(1000);
  const auto now = report(4000);
  before.pid = 41;
  EXPECT_THAT(status_json({before, now, 1s, 0, 0}), HasSubstr("\"events_per_second\":0,"));
}

TEST(Status, TextHasEveryPart) {
  const auto before = report(1000), now = report(4000);
  const std::string text = status_text({before, now, 1s, 210'000'000, 180'000'000});
  for (const char* part :
       {"not healthy, pid 42, up 2 h, 3 clients", "173.0 MB shared segment", "210.0 MB resident, 180.0 MB of it",
        "reason     topic trade_events: the \"disk\" stalls", "disk_stalled", "3999",
        "publisher  engine degraded, id 1, epoch 5, pid 43", "next sequence 9: no progress", "next offset",
        "subscriber gateway lagging, level recorded", "lag 17: 17 events behind"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(Status, JsonIsOneLineAndQuotesTexts) {
  const auto before = report(1000), now = report(4000);
  const std::string json = status_json({before, now, 1s, 0, 0});
  EXPECT_EQ(std::count(json.begin(), json.end(), '\n'), 1);
  EXPECT_THAT(json, HasSubstr("{\"healthy\":false,\"pid\":42,"));
  EXPECT_THAT(json, HasSubstr("the \\\"disk\\\" stalls"));
  EXPECT_THAT(json, HasSubstr("\"publishers\":[{\"name\":\"engine\",\"id\":1,"));
  EXPECT_THAT(json, HasSubstr("\"subscribers\":[{\"name\":\"gateway\",\"pid\":0,\"level\":\"recorded\",\"lag\":17,"
                              "\"state\":\"lagging\",\"reason\":\"17 events behind\"}]}]}"));
  EXPECT_THAT(json, HasSubstr("\"next_offset\":4000,\"recorded_end\":4000"));
  EXPECT_THAT(json, HasSubstr("\"last_sequence\":8,\"next_sequence\":9"));
}

class DoctorTest : public ::testing::Test {
 protected:
  DoctorTest() {
    config_.runtime_dir = folder_.at("run");
    config_.log_dir = folder_.at("log");
  }
  [[nodiscard]] Finding finding(const std::string& what, bool core_runs = false) const {
    for (const Finding& found : examine_places(config_, config_.socket_path(), core_runs)) {
      if (found.what == what) return found;
    }
    ADD_FAILURE() << "nothing was said of " << what;
    return {};
  }

  TemporaryFolder folder_;
  daemon::Config config_ = daemon::default_config();
};

TEST_F(DoctorTest, FindsAFreshFolderFit) {
  EXPECT_EQ(finding("runtime folder").verdict, Finding::Verdict::ok);
  EXPECT_EQ(finding("log folder").verdict, Finding::Verdict::ok);
  EXPECT_EQ(finding("core").verdict, Finding::Verdict::ok);
  EXPECT_EQ(finding("last core").verdict, Finding::Verdict::ok);
}

TEST_F(DoctorTest, WarnsOfWhatADeadCoreLeft) {
  std::filesystem::create_directories(config_.runtime_dir);
  std::ofstream(config_.manifest_path()) << "x";
  std::ofstream(config_.socket_path()) << "x";
  EXPECT_EQ(finding("last core").verdict, Finding::Verdict::warn);
  EXPECT_EQ(finding("core").verdict, Finding::Verdict::warn);
  EXPECT_EQ(finding("last core", true).verdict, Finding::Verdict::ok);
}

TEST_F(DoctorTest, FailsWhereAFolderIsAFile) {
  std::ofstream(folder_.at("file")) << "x";
  config_.log_dir = folder_.at("file/log");
  EXPECT_EQ(finding("log folder").verdict, Finding::Verdict::fail);
}

TEST_F(DoctorTest, FailsWhenTheRingsAreLargerThanSharedMemory) {
  config_.topics.front().ring_bytes = std::uint64_t{1} << 50;
  const Finding shm = finding("shared memory");
  EXPECT_EQ(shm.verdict, Finding::Verdict::fail);
  EXPECT_THAT(to_line(shm), ::testing::StartsWith("fail  shared memory"));
}

}  // namespace
}  // namespace millrace::cli
