// Proves that a topic of a user's own events, whose schema this program was not compiled with, works from end to end:
// published raw and as JSON, refused where the verifier says so, followed, printed, filtered by its key, and read from
// a log folder alone. Once with a schema as text, and once as binary with a root that is not the schema's root_type.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "bus/bus.hpp"
#include "bus/daemon/test/clients.hpp"

namespace millrace {
namespace {

using testing::connect;
using ::testing::ElementsAre;
using testing::eventually;
using ::testing::HasSubstr;
using testing::Process;
using testing::program;
using testing::TestCore;

constexpr const char* schema_text = R"(namespace desk;
table Note { text:string; }
table Fill { instrument:string; quantity:long; notes:[Note]; }
root_type )";

struct Ran {
  int status = -1;
  std::vector<std::string> lines;
  std::string errors;
};

class UserSchema : public ::testing::TestWithParam<std::string> {
 protected:
  UserSchema()
      : core_(R"(
[topics.text]
schema = "fills.fbs"
key_field = "instrument"
[topics.binary]
schema = "notes.bfbs"
root = "desk.Fill"
key_field = "instrument"
)",
              false) {
    const auto write = [this](const std::string& file, const std::string& root) {
      std::ofstream(core_.folder() + "/" + file) << schema_text << root << ";\n";
    };
    write("fills.fbs", "Fill");
    write("notes.fbs", "Note");
    schemas::Registry registry;
    const auto note = registry.add_user_schema("n", EventTypeId{1000}, core_.folder() + "/notes.fbs", "", "");
    EXPECT_TRUE(note);
    std::ofstream(core_.folder() + "/notes.bfbs", std::ios::binary)
        .write(reinterpret_cast<const char*>((*note)->bfbs().data()),
               static_cast<std::streamsize>((*note)->bfbs().size()));
    core_.start();
  }
  // `command`: words for a shell, where $M is the program and $T the topic.
  Ran run(const std::string& command) {
    Process process({"/bin/bash", "-o", "pipefail", "-c",
                     "export MILLRACE_SOCKET=" + core_.socket() + " M=" + program("millrace") + " T=" + GetParam() +
                         "\n" + command});
    Ran ran;
    while (auto line = process.line()) ran.lines.push_back(*line);
    ran.status = process.wait().value_or(-1);
    ran.errors = process.errors();
    return ran;
  }

  TestCore core_;
};

TEST_P(UserSchema, RawEventsAreVerifiedPublishedAndFollowed) {
  const auto bus = connect(core_);
  const auto topic = bus->topic(GetParam());
  ASSERT_TRUE(topic) << topic.error().message;
  EXPECT_EQ(topic->type->root(), "desk.Fill");
  EXPECT_EQ(topic->type->key_field(), "instrument");
  auto publisher = bus->publisher(GetParam(), "desk-1");
  ASSERT_TRUE(publisher) << publisher.error().message;
  const auto first = topic->type->from_json(R"({"instrument":"MILL","quantity":"7"})");
  const auto second = topic->type->from_json(R"({"instrument":"RACE","notes":[{"text":"late"}]})");
  ASSERT_TRUE(first && second);

  EXPECT_TRUE(publisher->publish(*first));
  EXPECT_EQ(publisher->publish(std::vector<std::byte>(64, std::byte{0xee})).status, PublishStatus::invalid);
  const auto claim = publisher->claim(second->size());
  ASSERT_EQ(claim.status, PublishStatus::ok);
  std::fill(claim.payload.begin(), claim.payload.end(), std::byte{0xee});
  EXPECT_EQ(publisher->commit(second->size()).status, PublishStatus::invalid);
  std::copy(second->begin(), second->end(), claim.payload.begin());
  EXPECT_TRUE(publisher->commit(second->size())) << "the claim was still open";

  auto subscriber = bus->subscribe(GetParam(), {.level = Level::recorded, .start = StartEarliest{}, .on_gap = {}});
  ASSERT_TRUE(subscriber) << subscriber.error().message;
  std::vector<std::string> seen;
  EXPECT_TRUE(eventually([&] {
    subscriber->poll([&](const Event& event) {
      EXPECT_EQ(event.sequence(), Sequence(seen.size() + 1)) << "what was refused used no sequence";
      EXPECT_EQ(event.frame.key(), topic->type->key(event.payload()));
      seen.emplace_back(*topic->type->key_text(event.payload()));
    });
    return seen.size() >= 2;
  }));
  EXPECT_THAT(seen, ElementsAre("MILL", "RACE"));
}

TEST_P(UserSchema, LinesArePublishedAndComeBackAndTheLogFolderExplainsItself) {
  const Ran published = run(R"($M publish $T --wait synced <<END
{"instrument":"MILL","quantity":"7"}
{"instrument":"RACE","notes":[{"text":"first"},{"text":"last"}]}
END)");
  ASSERT_EQ(published.status, 0) << published.errors;
  const Ran refused = run(R"(echo '{"colour":"red"}' | $M publish $T)");
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.errors, HasSubstr("field 'colour' is not in desk.Fill"));

  const Ran tail = run("$M tail $T --from earliest --no-follow");
  EXPECT_EQ(tail.status, 0) << tail.errors;
  EXPECT_THAT(tail.lines, ElementsAre(HasSubstr(R"("event":{"instrument":"MILL","quantity":"7"}})"),
                                      HasSubstr(R"("notes":[{"text":"first"},{"text":"last"}]}})")));
  const Ran filtered = run("$M tail $T --from earliest --no-follow --filter instrument=RACE");
  EXPECT_THAT(filtered.lines, ElementsAre(tail.lines.at(1))) << filtered.errors;

  EXPECT_EQ(core_.stop(), 0);
  for (const char* file : {"millrace.toml", "fills.fbs", "notes.fbs", "notes.bfbs"}) {
    ASSERT_TRUE(std::filesystem::remove(core_.folder() + "/" + file));
  }
  const Ran dump = run("$M wal dump " + core_.log_folder(GetParam()));
  EXPECT_EQ(dump.status, 0) << dump.errors;
  EXPECT_EQ(dump.lines, tail.lines);
  EXPECT_EQ(run("$M wal verify " + core_.log_folder(GetParam())).status, 0);
}

INSTANTIATE_TEST_SUITE_P(Schemas, UserSchema, ::testing::Values("text", "binary"),
                         [](const auto& schema) { return schema.param; });

}  // namespace
}  // namespace millrace
