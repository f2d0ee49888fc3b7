// Proves that the cases of a millrace_test(... ISOLATED) run in a /dev/shm and a /tmp of their own: neither sees what
// the other left there, in whichever order they run. Skipped where no mount namespace can be made.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace millrace {
namespace {

bool can_isolate() {
  return std::system("unshare -m true 2> /dev/null") == 0;
}

void leave_a_file_in(const std::filesystem::path& folder) {
  const auto file = folder / "millrace-isolation-test";
  ASSERT_FALSE(std::filesystem::exists(file)) << "another case's file is seen";
  std::ofstream(file) << "left";
  ASSERT_TRUE(std::filesystem::exists(file));
}

class Isolation : public testing::Test {
 protected:
  void SetUp() override {
    if (!can_isolate()) GTEST_SKIP() << "no mount namespace can be made here";
  }
};

TEST_F(Isolation, OneCaseLeavesFiles) {
  leave_a_file_in("/dev/shm");
  leave_a_file_in("/tmp");
}

TEST_F(Isolation, AnotherCaseDoesNotSeeThem) {
  leave_a_file_in("/dev/shm");
  leave_a_file_in("/tmp");
}

}  // namespace
}  // namespace millrace
